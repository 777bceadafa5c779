"""What is done with trained generators of StyleGAN2: blending, finding pictures, directions."""
