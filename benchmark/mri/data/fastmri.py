"""Measured k-space in the h5 layout of the fastMRI set (Zbontar et al. 2018, arXiv:1811.08839), one coil or several."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.data.base import Dataset, Grid, Index, Split, datasets
from benchmark.data.reading.files import Slices, beside, chosen_slices, given_path, split_files, useful_groups
from benchmark.data.reading.left_out import count, shown
from benchmark.errors import AssayError, DataError
from benchmark.files import stamps, why
from benchmark.mri import EXTRA, MEASUREMENT
from benchmark.registry import canonical, digest

ROUNDING = 0.02  # of the fields of view in headers
RECONSTRUCTIONS = ("reconstruction_rss", "reconstruction_esc")


@datasets.register("fastmri")
class FastMri(Dataset):
    """Slices of the .h5 files in ``PATH/<folder>/``, or right in PATH: sample ``file1000001-17`` is slice 17 of a file.

    A file has ``kspace``, complex (slices, H, W) or (slices, coils, H, W), fully sampled. Where the header's field of
    view says that voxels are not square, they become so by cropping k-space along the finer axis. The picture is
    cropped to its central square, as fastMRI does, since the readout is oversampled: to the size of the file's
    reconstruction, else of the header's reconstruction space, else (and where that does not fit) to the shorter side.
    K-space of the square is then cropped to the suite's grid; of other proportions than the grid's, zeros are put
    around the picture first. Of several coils the maps are estimated by ESPIRiT on the grid. The group is the attribute
    ``patient_id``, else the file.

    Attributes:
        folder: folder of a split under PATH, such as ``"multicoil_{split}"``; ``{split}`` stands for the split.
        split: the split's name where the files lie right in PATH.
        slices: ``"middle"``, ``"all"``, or how many around the middle of each file.
        acquisition: only files whose attribute ``acquisition`` is this, such as ``"CORPD_FBK"``; empty: all.
        coils: only files of so many coils, which a suite needs to be the same in all; None: all.
    """

    endings: ClassVar[Collection[str]] = (".h5", ".hdf5")
    requires: ClassVar[tuple[str, ...]] = ("h5py", "sigpy")
    extra: ClassVar[str] = EXTRA

    source: ClassVar[str] = "Zbontar et al. 2018 (arXiv:1811.08839), fastmri.med.nyu.edu"
    needs_path: ClassVar[bool] = True
    inputs: ClassVar[str] = MEASUREMENT

    folder: str = "{split}"
    split: str = "test"
    slices: Slices = "middle"
    acquisition: str = ""
    coils: int | None = Field(default=None, ge=1)

    def fingerprint(self, split: Split) -> str:
        """The files' stamps."""
        return digest([split, *stamps(self._all_files(split))])

    def build_index(self, split: Split) -> Index:
        """Names, labels of 0, groups, and the digest over k-space of the chosen slices."""
        ids: list[str] = []
        groups: list[str] = []
        counts: dict[int, str] = {}
        flat: list[str] = []
        broken: list[str] = []
        files = self._all_files(split)
        content = hashlib.sha256(canonical([self.identity(), split]).encode())
        for file in files:
            if len(files) > 1 and not _opens(file):  # it stands for its slices: reading it says what is wrong
                content.update(f"\n{file.stem} unreadable".encode())
                broken.append(file.name)
                ids.append(f"{file.stem}-0")
                groups.append(file.stem)
                continue
            with _opened(file) as h5:
                kspace = _kspace_of(h5, file)
                own = (int(kspace.shape[-2]), int(kspace.shape[-1]))
                if _square(h5, own) != own:
                    flat.append(file.name)
                coils = kspace.shape[1] if kspace.ndim == 4 else 1
                if self._is_wanted(h5, coils):
                    counts.setdefault(coils, file.name)
                    names = self._hash_slices(h5, file, content)
                    ids += names
                    groups += [str(h5.attrs.get("patient_id", file.stem))] * len(names)
        if len(counts) > 1:
            raise DataError(
                f"dataset 'fastmri', split {split!r}: expected one number of coils, got {sorted(counts)} (such as"
                f" {counts[min(counts)]} and {counts[max(counts)]}); choose one with the parameter coils"
            )
        if len(ids) == len(broken):
            for file in files[:1] if broken else ():
                with _opened(file):  # raises
                    pass
            raise DataError(
                f"dataset 'fastmri', split {split!r}: no file has acquisition = {self.acquisition or 'any'!r} and"
                f" coils = {self.coils or 'any'}; correct these parameters"
            )
        return Index(
            ids=tuple(ids),
            labels=np.zeros(len(ids)),
            classes=(),
            digest=content.hexdigest(),
            groups=useful_groups(groups),
            notes=(*self._notes(broken, flat), *beside(files, given_path(self, "file or folder"))),
            keep=not broken,
        )

    def _notes(self, broken: Sequence[str], flat: Sequence[str]) -> list[str]:
        said = (
            [f"{count(len(broken), 'file')} that cannot be read, whose chunks fail: {shown(broken)}"] if broken else []
        )
        if flat:
            what = "whose voxels are not square, made so by cropping k-space along the finer axis"
            said.append(f"{count(len(flat), 'file')} {what}: {shown(flat)}")
        return said

    def sources(self, split: Split, ids: Sequence[str] | None = None) -> Sequence[Path]:
        """The files."""
        return self._all_files(split)

    def read(self, split: Split, ids: Sequence[str]) -> list[NDArray[Any]]:
        """Centred k-space (c, h, w) of the central square of each slice; c = 1 without coils."""
        from benchmark.mri.arrays import fft, ifft
        from benchmark.mri.data.kspace import centre_crop

        files = {file.stem: file for file in self._all_files(split)}
        arrays: list[NDArray[Any]] = []
        for name in ids:
            stem, _, number = name.rpartition("-")
            with _opened(files[stem]) as h5:
                kspace = _read_slice(h5, int(number), files[stem])
                kspace = centre_crop(kspace, _square(h5, (kspace.shape[-2], kspace.shape[-1])))
                size = _picture_size(h5, (kspace.shape[-2], kspace.shape[-1]))
            kspace = kspace[None] if kspace.ndim == 2 else kspace
            arrays.append(fft(centre_crop(ifft(kspace), size)))
        return arrays

    def place(self, raw: NDArray[Any], grid: Grid, name: str) -> NDArray[np.float32]:
        """The image of the central k-space: (2, H, W), or (4 c, H, W) with coils; max|truth| = 1.

        Raises:
            DataError: the grid is larger than the central square.
        """
        from benchmark.mri.data.coils import place_kspace

        return place_kspace(raw, grid, name, coils=len(raw) > 1)

    def facts(self) -> dict[str, str]:
        """K-space is measured."""
        return {"kspace": "measured"}

    # -- files --------------------------------------------------------------------------------------------------

    def _all_files(self, split: Split) -> list[Path]:
        return split_files(self, split, self.folder, self.split, (".h5",))

    def _is_wanted(self, h5: Any, coils: int) -> bool:
        acquisition = str(h5.attrs.get("acquisition", ""))
        return self.acquisition in ("", acquisition) and self.coils in (None, coils)

    def _hash_slices(self, h5: Any, file: Path, content: Any) -> list[str]:
        """Names of the chosen slices of a file, whose values go into the digest."""
        from benchmark.mri.data.kspace import check_full

        count = len(h5["kspace"])
        names = []
        for i in chosen_slices(self.slices, count):
            kspace = _read_slice(h5, i, file)
            measured = kspace != 0
            check_full(measured if measured.ndim == 2 else measured.any(0), f"{file}, slice {i}")
            names.append(f"{file.stem}-{i:0{max(2, len(str(count - 1)))}d}")
            square = _square(h5, (kspace.shape[-2], kspace.shape[-1]))
            size = _picture_size(h5, square)
            made = f" {square}" if square != kspace.shape[-2:] else ""
            content.update(f"\n{names[-1]} {kspace.shape} {size}{made}\n".encode())
            content.update(np.ascontiguousarray(kspace).data)
        return names


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    import h5py

    try:
        with h5py.File(file, "r") as h5:
            yield h5
    except AssayError:
        raise
    except Exception as error:  # h5py raises whatever a damaged file makes it stumble over
        raise DataError(f"{file} cannot be read as HDF5: {why(error, file)}; replace or remove the file") from error


def _opens(file: Path) -> bool:
    try:
        with _opened(file):
            return True
    except DataError:
        return False


def _kspace_of(h5: Any, file: Path) -> Any:
    """The dataset ``kspace`` of an open file, not yet read."""
    if "kspace" not in h5:
        raise DataError(f"{file}: expected an array 'kspace', got {', '.join(h5) or 'none'}; remove the file")
    if "mask" in h5:
        raise DataError(
            f"{file}: expected fully sampled k-space, got a file with a 'mask', undersampled (fastMRI's test and"
            " challenge sets): take a train or val set"
        )
    kspace = h5["kspace"]
    if not hasattr(kspace, "ndim"):
        raise DataError(f"{file}: expected an array 'kspace', got a group of that name; remove the file")
    if kspace.ndim not in (3, 4) or kspace.dtype.kind != "c" or not len(kspace):
        raise DataError(
            f"{file}: expected complex k-space (slices, H, W) or (slices, coils, H, W), got shape {kspace.shape} and"
            f" type {kspace.dtype}; remove the file"
        )
    return kspace


def _read_slice(h5: Any, i: int, file: Path) -> NDArray[Any]:
    try:
        kspace: NDArray[Any] = _kspace_of(h5, file)[i]
    except OSError as error:
        raise DataError(f"{file}, slice {i} cannot be read: {error}; replace or remove the file") from error
    return kspace


def _picture_size(h5: Any, size: tuple[int, int]) -> tuple[int, int]:
    """Size that fastMRI crops the picture to.

    Of a window that does not fit into the picture the square of its shorter side, as fastMRI's own code does
    (``fastmri/data/transforms.py``, "check for FLAIR 203"); a rectangle would come out stretched on a square grid.
    """
    given = next((h5[name].shape[-2:] for name in RECONSTRUCTIONS if name in h5), None)
    given = given if given is not None else _header_size(h5)
    if given is None or given[0] > size[0] or given[1] > size[1]:
        return min(size), min(size)
    return int(given[0]), int(given[1])


def _header_size(h5: Any) -> tuple[int, int] | None:
    """The size of the reconstruction space in the ISMRMRD header, where there is one."""
    sides = _header(h5, [f"reconSpace/{{*}}matrixSize/{{*}}{axis}" for axis in "xy"])
    return (int(sides[0]), int(sides[1])) if sides else None


def _square(h5: Any, size: tuple[int, int]) -> tuple[int, int]:
    """The picture's size with square voxels: their longer side along both axes, where the header has their sides.

    The field of view is the encoded one; what is stored spans it.
    """
    fields = _header(h5, [f"encodedSpace/{{*}}fieldOfView_mm/{{*}}{axis}" for axis in "xy"])
    from benchmark.mri.data.kspace import square_size

    return size if fields is None else square_size(size, (fields[0] / size[0], fields[1] / size[1]), ROUNDING)


def _header(h5: Any, paths: Sequence[str]) -> list[float] | None:
    """Numbers of the ISMRMRD header; None where one is not there or not above 0."""
    from xml.etree import ElementTree

    if "ismrmrd_header" not in h5:
        return None
    try:
        root = ElementTree.fromstring(h5["ismrmrd_header"][()])
        numbers = [float(root.findtext(f".//{{*}}{path}") or "nan") for path in paths]
    except (ElementTree.ParseError, TypeError, ValueError):
        return None
    return numbers if all(value > 0 for value in numbers) else None
