"""The images: MNIST, digits drawn from fonts, a user's own folder or .npz file, photographs; and their augmentation."""
