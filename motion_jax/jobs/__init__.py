"""Commands that run one after another in processes of their own, whoever asked for them."""
