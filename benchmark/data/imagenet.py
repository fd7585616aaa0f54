"""ImageNet (ILSVRC 2012) in the layouts in which it is found, with the 1,000 classes in their usual order."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import PrivateAttr, model_validator

from benchmark.data.base import Index, Split, datasets
from benchmark.data.folder import Folder
from benchmark.data.reading.boxes import Box, as_mask_of, boxes_of
from benchmark.data.reading.classes import class_indices, class_list
from benchmark.data.reading.folder_notes import class_folders, holds_classes, images_in
from benchmark.data.reading.ilsvrc import ROOTS, named_images, robustbench_images, wnids_of
from benchmark.data.reading.left_out import count, shown
from benchmark.data.reading.pictures import SUFFIXES, header
from benchmark.errors import DataError, printable

LIST = "imagenet-1k"
ROBUSTBENCH = "robustbench"


@datasets.register("imagenet")
class ImageNet(Folder):
    """ImageNet's validation or training images, or any part of them, labelled by the fixed list of 1,000 classes.

    The index of a folder among those that are there is not used. Layouts: ``PATH/<split>/<wnid>/*`` or
    ``PATH/<wnid>/*``; the archive's flat ``PATH/val/ILSVRC2012_val_*.JPEG`` with what names their classes (Kaggle's
    ``LOC_val_solution.csv``, the devkit, Caffe's ``val.txt``, or the boxes' XML); Kaggle's
    ``PATH/ILSVRC/Data/CLS-LOC/...``. Where there are boxes (XML below ``Annotations`` or ``bbox``,
    ``LOC_<split>_solution.csv``, or ``boxes.csv`` with file, x0, y0, x1, y1 in pixels) their union is an image's
    mask, empty where it has none.

    Attributes:
        ids: ``"robustbench"``: the 5,000 images over which RobustBench's figures are, where all of them are there, else
            every image, which is said; or a file below PATH with a line an image
            (``n01440764/ILSVRC2012_val_00000293.JPEG``, or the name alone), to which the split is restricted.
    """

    endings: ClassVar[Collection[str]] = ()
    source: ClassVar[str] = "Russakovsky et al. 2015 (ILSVRC 2012)"

    ids: str = ""

    _boxes: dict[str, dict[str, list[Box]]] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _fixed_classes(self) -> Self:
        if self.label or self.one_hot or self.id or self.order:
            raise ValueError("the classes are the fixed 1,000: remove label, one_hot, id and order, or use 'folder'")
        return self

    def _by_table(self) -> bool:
        return False

    def fingerprint(self, split: Split) -> str:
        """Names and stamps of the files, and what is known of boxes."""
        from benchmark.registry import digest

        boxes = {name: [list(box) for box in found] for name, found in sorted(self._found_boxes(split).items())}
        return digest([super().fingerprint(split), boxes])

    def build_index(self, split: Split) -> Index:
        """As of ``folder``, with the fixed classes, and masks where any image has a box."""
        from dataclasses import replace

        from benchmark.registry import digest

        index, boxes = super().build_index(split), self._found_boxes(split)
        lack = [name for name in index.ids if not boxes.get(name)]
        masks, notes = len(lack) < len(index.ids), list(index.notes)
        if masks and lack:
            notes.append(
                f"{count(len(lack), 'image')} of {len(index.ids):,} without a box, so without evidence: {shown(lack)}"
            )
        where = [[name, [list(box) for box in boxes.get(name, [])]] for name in index.ids] if masks else []
        return replace(index, masks=masks, notes=tuple(notes), digest=digest([index.digest, where]))

    def read_masks(self, split: Split, ids: Sequence[str]) -> list[NDArray[np.bool_]]:
        """Masks (H, W): True inside any box of the class.

        Raises:
            DataError: boxes of a picture of another size than the file's.
        """
        files, boxes = self._files(split), self._found_boxes(split)
        masks = []
        for name in ids:
            head = header(files[name][0].read_bytes())
            if head is None:
                raise DataError(f"dataset {self.use!r}: the image {files[name][0]} cannot be opened; replace it")
            masks.append(as_mask_of(boxes.get(name, []), head.size, f"dataset {self.use!r}, {name}"))
        return masks

    def known_as(self, split: Split) -> list[tuple[str, ...]]:
        """WordNet id and words of each class."""
        return list(class_list(LIST).known_as)

    # -- where things lie -----------------------------------------------------------------------------------------

    def _top(self) -> Path:
        root = self._root()
        return next((root / inner for inner in ROOTS if (root / inner).is_dir()), root)

    def _place(self, split: Split) -> Path:
        """The folder of the split: by its name, else PATH itself, if it holds class folders or images right there.

        Raises:
            DataError: there is neither.
        """
        top = self._top()
        names = (split, "val") if split == "test" else (split,)  # the test images' labels are not published
        for place in (top / name for name in names):
            if place.is_dir():
                return place
        if images_in(top) or any(images_in(inner) for inner in class_folders(top) if inner.name.startswith("n")):
            return top
        raise DataError(self._nothing(top, split))

    def _split_files(self, split: Split) -> dict[str, tuple[Path, str]]:
        place, root = self._place(split), self._root()
        if holds_classes(place):
            self._check_folders(place)
            files = {
                printable(image.relative_to(root).as_posix()): (image, self._wnid(printable(inner.name)))
                for inner in class_folders(place)
                for image in images_in(inner)
            }
        else:
            files = self._flat_files(place, split)
        return self._chosen(files) if self.ids else files

    def _flat_files(self, place: Path, split: Split) -> dict[str, tuple[Path, str]]:
        root, images = self._root(), images_in(place)
        found = wnids_of(root, place, split, f"dataset {self.use!r}")
        lacking = [image.name for image in images if image.stem not in found]
        if lacking:
            raise DataError(
                f"dataset {self.use!r}: {place} holds {count(len(images), 'image')} without class folders, and nothing"
                f" names the class of {shown(lacking)} ({len(lacking):,} in all): put LOC_{split}_solution.csv, "
                f"ILSVRC2012_devkit_t12 (with meta.mat), val.txt (Caffe) or Annotations/CLS-LOC/{split}/*.xml into"
                f" {root}, or sort the images into folders by wnid"
            )
        return {printable(path.relative_to(root).as_posix()): (path, self._wnid(found[path.stem])) for path in images}

    def _check_folders(self, place: Path) -> None:
        names = [printable(inner.name) for inner in class_folders(place) if images_in(inner)]
        class_indices(names, class_list(LIST), f"dataset {self.use!r}, {place}")

    def _wnid(self, name: str) -> str:
        known = class_list(LIST)
        if name in known.names:
            return name
        return known.names[class_indices([name], known, f"dataset {self.use!r}")[0]]

    def _chosen(self, files: dict[str, tuple[Path, str]]) -> dict[str, tuple[Path, str]]:
        """Those that the list names.

        Raises:
            DataError: no such list, or an image of it that is not there.
        """
        if self.ids == ROBUSTBENCH:
            stems = {path.stem: name for name, (path, _) in files.items()}
            whole = stems.keys() >= set(robustbench_images())
            return {stems[stem]: files[stems[stem]] for stem in robustbench_images()} if whole else files
        names = named_images(self._root() / self.ids, f"dataset {self.use!r}, ids")
        by_name = {path.name: name for name, (path, _) in files.items()}
        absent = [name for name in names if name not in by_name]
        if absent:
            raise DataError(
                f"dataset {self.use!r}: {self.ids} names {len(names):,} images, of which {len(absent):,} are not there:"
                f" {shown(absent)}; give the full set, or leave `ids` out"
            )
        return {by_name[name]: files[by_name[name]] for name in names}

    def _class_names(self, split: Split) -> list[str]:
        return list(class_list(LIST).names)

    def _class_folders(self, split: Split) -> list[Path]:
        place = self._place(split)
        return class_folders(place) if holds_classes(place) else []

    def _notes(self, split: Split) -> list[str]:
        """What is left out beside the images; 431 of 1,000 classes are no fault, but they are said."""
        from benchmark.data.reading.folder_notes import left_out

        place, there = self._place(split), {label for _, label in self._files(split).values()}
        notes = [left_out(self._root(), place)] if holds_classes(place) else []
        others = [path for path in place.iterdir() if path.is_file() and path.suffix.lower() not in SUFFIXES]
        if others and not holds_classes(place):
            notes.append(
                f"left out: {count(len(others), 'file')} beside the images ({shown([p.name for p in others])})"
            )
        stems = {path.stem for path, _ in self._files(split).values()}
        if self.ids == ROBUSTBENCH and not stems >= set(robustbench_images()):
            notes.append("not all of RobustBench's 5,000 images are there, so every image is taken")
        if len(there) < 1000:
            notes.append(f"{len(there):,} of the 1,000 classes occur")
        return [note for note in notes if note]

    # -- boxes ----------------------------------------------------------------------------------------------------

    def _found_boxes(self, split: Split) -> dict[str, list[Box]]:
        """Boxes of each image; of images without one nothing."""
        if split not in self._boxes:
            files = {name: path for name, (path, _) in self._files(split).items()}
            self._boxes[split] = boxes_of(self._root(), split, files, f"dataset {self.use!r}")
        return self._boxes[split]

    def _manifest_notes(self, files: Any, have: Any, alone: str) -> list[str]:
        return []
