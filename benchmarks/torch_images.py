"""A PyTorch data set that crops and mirrors images one by one; worker processes import it."""

import torch
from torch.nn.functional import pad
from torch.utils.data import Dataset


class Images(Dataset):
    """A data set of normalised float32 images [channels, height, width]."""

    def __init__(self, images: torch.Tensor, padding: int, mean: float) -> None:
        """Keeps the images.

        Args:
            images: [n, channels, height, width] uint8.
            padding: the number of pixels that are added on each side before a crop.
            mean: what is subtracted from values in [0, 1].
        """
        self.images, self.padding, self.mean = images, padding, mean

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> torch.Tensor:
        size = self.images.shape[2]
        row, column = torch.randint(0, 2 * self.padding + 1, (2,)).tolist()
        padded = pad(self.images[i], (self.padding,) * 4)
        crop = padded[:, row : row + size, column : column + size]
        crop = crop.flip(2) if torch.rand(()) < 0.5 else crop
        return crop.float() / 255 - self.mean
