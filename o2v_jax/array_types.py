"""Names for the NumPy arrays that several packages pass on."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Ids: TypeAlias = npt.NDArray[np.int32]  # token ids
Index: TypeAlias = npt.NDArray[np.int64]  # row numbers, offsets, lengths
Floats: TypeAlias = npt.NDArray[np.float32]  # scores, encodings
