"""A driving video through a trained run or a retriever, to a film."""
