"""A hospital of phantoms: heads in the manner of Shepp and Logan (1974) as DICOM files, with patients and scanners.

    python -m synth.medical.phantoms FOLDER

A head is a skull, a brain, two ventricles that widen with age, and a few structures that differ from patient to
patient; it is seen in several slices. Patients have one of four findings. Scanners differ in matrix, blur, noise,
calibration, rescaling, and in whether black or white is low (MONOCHROME1). As in any archive, some files are broken,
some are not images of this kind, and some patients were registered twice. No person is in it: names and birth dates
are made up, and are there to be left out by whoever reads the files.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from synth.seeds import derive, generator

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.uid import UID

FINDINGS = {"none": 0.34, "nodule": 0.26, "ring": 0.22, "diffuse": 0.18}  # shares of the patients
WINDOW = (-40.0, 120.0)  # HU: what a brain window shows
PATIENTS = 800
DEFECTS = ("truncated", "empty", "no-pixels", "modality", "constant", "damaged", "burned-in-text")


@dataclass(frozen=True, kw_only=True)
class Scanner:
    """How one site's scanner sees and stores."""

    name: str
    share: float
    side: int  # of the matrix
    field: float  # of view, in head diameters
    blur: float  # of the reconstruction, in samples
    noise: float  # standard deviation in HU
    offset: float  # of the calibration, in HU
    slope: float
    intercept: float
    inverted: bool = False  # MONOCHROME1: the lowest value is white


SCANNERS = (
    Scanner(name="NORTH-CT1", share=0.4, side=64, field=1.04, blur=0.6, noise=4.0, offset=0.0, slope=1.0,
            intercept=-1024.0),
    Scanner(name="SOUTH-CT1", share=0.35, side=56, field=1.1, blur=0.9, noise=3.0, offset=2.0, slope=0.5,
            intercept=-1000.0),
    Scanner(name="EAST-CT2", share=0.25, side=48, field=1.04, blur=0.5, noise=6.0, offset=-2.0, slope=2.0,
            intercept=0.0, inverted=True),
)


@dataclass(frozen=True)
class Patient:
    """One phantom."""

    number: int
    age: int
    sex: str
    finding: str
    scanner: Scanner
    images: int

    @property
    def key(self) -> str:
        """The patient's id in the files."""
        return f"PH{self.number:05d}"


def make(folder: Path, *, patients: int = PATIENTS, seed: int = 20_261, most_images: int = 4) -> dict[str, int]:
    """Write the archive into ``folder`` as ``FINDING/PATIENT_IMAGE.dcm``; the same arguments, the same bytes.

    Returns counts: ``images`` (good ones), ``defects`` (files to be put aside) and ``twice`` (patients who are in
    it under a second id, with a copy of an image). The folder must not exist.
    """
    folder.mkdir(parents=True)
    for finding in FINDINGS:
        (folder / finding).mkdir()
    counts = {"images": 0, "defects": 0, "twice": 0}
    for number in range(patients):
        patient = draw(number, seed=seed, most_images=most_images)
        anatomy = derive(seed, "anatomy", number)
        for image in range(patient.images):
            values = head(patient, anatomy, image)
            path = folder / patient.finding / f"{patient.key}_{image}.dcm"
            _save(dataset(patient, values, image, seed), path)
            counts["images"] += 1
            if number % 50 == 7 and image == 0:  # registered twice
                other = Patient(patients + number, patient.age, patient.sex, patient.finding, patient.scanner, 1)
                _save(dataset(other, values, image, seed), folder / patient.finding / f"{other.key}_0.dcm")
                counts["images"] += 1
                counts["twice"] += 1
        if number % 30 == 11:
            kind = DEFECTS[(number // 30) % len(DEFECTS)]
            spoil(kind, patient, anatomy, folder / patient.finding / f"{patient.key}_9.dcm", seed)
            counts["defects"] += 1
    return counts


def draw(number: int, *, seed: int, most_images: int = 4) -> Patient:
    """The facts of a phantom."""
    rng = generator(seed, "patient", number)
    finding = str(rng.choice(list(FINDINGS), p=list(FINDINGS.values())))
    scanner = SCANNERS[int(rng.choice(len(SCANNERS), p=[s.share for s in SCANNERS]))]
    age = int(np.clip(rng.normal(62 if finding in ("nodule", "ring") else 54, 16), 18, 96))
    return Patient(number=number, age=age, sex=str(rng.choice(["F", "M"])), finding=finding, scanner=scanner,
                   images=int(rng.integers(max(most_images - 1, 1), most_images + 1)))


def head(patient: Patient, anatomy: int, image: int) -> NDArray[np.float64]:
    """One slice in HU, [side, side], as the patient's scanner measures it."""
    from scipy.ndimage import gaussian_filter

    scanner = patient.scanner
    same, here = generator(anatomy, "same"), generator(anatomy, "image", image)
    y, x = _grid(scanner, here)
    level = here.uniform(0.93, 1.0)  # smaller towards the top of the head
    wide, long = same.uniform(0.64, 0.84) * level, same.uniform(0.80, 0.97) * level
    bone = same.uniform(0.07, 0.10)
    values = np.full(x.shape, -1000.0)
    values[_ellipse(x, y, 0, 0, wide + 0.03, long + 0.03)] = 10.0  # skin
    values[_ellipse(x, y, 0, 0, wide, long)] = 700.0
    inside = _ellipse(x, y, 0, 0, wide - bone, long - bone)
    values[inside] = 34.0 + same.normal(0, 1.5)
    for side in (-1, 1):  # ventricles
        tilt, size = same.uniform(0.15, 0.4), 0.05 + 0.11 * (patient.age - 18) / 78 + same.uniform(0, 0.03)
        values[_ellipse(x, y, side * (0.12 + size / 2), same.normal(-0.05, 0.02), size, 0.22 + size, side * tilt)
               & inside] = 6.0
    for _ in range(8):  # structures of this patient: more, and plainer, than a brain has. Were heads alike, as real
        # ones are at this size, no detector could tell a copy from another patient, and nothing would be let out
        at, radius = same.uniform(-0.5, 0.5, 2), same.uniform(0.08, 0.22, 2)
        change = same.choice([-1, 1]) * same.uniform(15, 40)
        values[_ellipse(x, y, at[0], at[1], radius[0], radius[1], same.uniform(0, np.pi)) & inside] += change
    values = np.where(inside, values + lesion(patient.finding, x, y, same, here), values)
    values = gaussian_filter(values.clip(-1000, 1000), scanner.blur)
    return values + scanner.offset + here.normal(0, scanner.noise, values.shape)


def lesion(finding: str, x: NDArray[np.float64], y: NDArray[np.float64], same: np.random.Generator,
           here: np.random.Generator) -> NDArray[np.float64]:
    """What a finding adds, in HU. Place and size belong to the patient, and differ a little between slices."""
    angle, far = same.uniform(0, 2 * np.pi), same.uniform(0.28, 0.42)
    radius = same.uniform(0.9, 1.2) * here.uniform(0.92, 1.08)
    apart = np.hypot(x - far * np.cos(angle) - here.normal(0, 0.01), y - far * np.sin(angle) - here.normal(0, 0.01))
    if finding == "nodule":
        return np.where(apart < 0.13 * radius, 75.0, 0.0)
    if finding == "ring":
        return np.where(apart < 0.24 * radius, 60.0, 0.0) - np.where(apart < 0.14 * radius, 85.0, 0.0)
    if finding == "diffuse":
        return np.asarray(-55.0 * np.exp(-0.5 * (apart / (0.28 * radius)) ** 2))
    return np.zeros_like(apart)


def _grid(scanner: Scanner, here: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates in head radii, turned and shifted a little."""
    at = (np.arange(scanner.side) + 0.5) / scanner.side * 2 - 1
    y, x = np.meshgrid(at * scanner.field, at * scanner.field, indexing="ij")
    turn, (dx, dy) = here.normal(0, 0.05), here.normal(0, 0.015, 2)
    return np.sin(turn) * (x - dx) + np.cos(turn) * (y - dy), np.cos(turn) * (x - dx) - np.sin(turn) * (y - dy)


def _ellipse(x: NDArray[np.float64], y: NDArray[np.float64], cx: float, cy: float, a: float, b: float,
             turn: float = 0.0) -> NDArray[np.bool_]:
    u, v = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn), (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
    return np.asarray((u / a) ** 2 + (v / b) ** 2 <= 1)


def dataset(patient: Patient, values: NDArray[np.float64], image: int, seed: int) -> Dataset:
    """A CT image with the attributes that hospitals write, the ones that name somebody among them."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    scanner, data = patient.scanner, Dataset()
    low, high = WINDOW
    shown = low + high - values if scanner.inverted else values  # turned within the window that is shown
    stored = np.rint((shown - scanner.intercept) / scanner.slope).clip(-32768, 32767).astype("<i2")
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = CTImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = _uid(seed, "image", patient.number, image)
    data.StudyInstanceUID = _uid(seed, "study", patient.number)
    data.SeriesInstanceUID = _uid(seed, "series", patient.number, image)
    data.FrameOfReferenceUID = _uid(seed, "frame", patient.number)
    data.PatientID, data.PatientName = patient.key, f"Phantom^{patient.key}"
    data.PatientBirthDate, data.StudyDate = f"{2025 - patient.age}0101", "20250601"
    data.PatientAge, data.PatientSex = f"{patient.age:03d}Y", patient.sex
    data.StationName, data.InstitutionName = scanner.name, "Phantom Hospital"
    data.ReferringPhysicianName, data.AccessionNumber = "Shepp^Logan", f"A{patient.number:05d}"
    data.Modality, data.BodyPartExamined, data.ImageType = "CT", "HEAD", ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.SeriesNumber, data.InstanceNumber = 1, image + 1
    spacing = 200.0 * scanner.field / scanner.side
    data.PixelSpacing, data.SliceThickness = [f"{spacing:.6f}"] * 2, 5
    data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, 5 * image], [1, 0, 0, 0, 1, 0]
    data.SamplesPerPixel, data.Rows, data.Columns = 1, *stored.shape
    data.PhotometricInterpretation = "MONOCHROME1" if scanner.inverted else "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, 1
    data.RescaleSlope, data.RescaleIntercept, data.RescaleType = scanner.slope, scanner.intercept, "HU"
    data.WindowCenter, data.WindowWidth = (low + high) / 2, high - low
    data.PixelData = stored.tobytes()
    return data


def spoil(kind: str, patient: Patient, anatomy: int, path: Path, seed: int) -> None:
    """Write a file that has to be put aside; ``kind`` is one of :data:`DEFECTS`."""
    if kind == "burned-in-text":  # beside the head, in a wide field of view
        patient = replace(patient, scanner=replace(patient.scanner, field=1.6, side=64))
    values = head(patient, anatomy, 99)
    if kind == "burned-in-text":
        values = written(values, patient)
    data = dataset(patient, values, 99, seed)
    if kind == "no-pixels":
        del data.PixelData
    elif kind == "modality":
        data.Modality = "MR"
    elif kind == "constant":
        data.PixelData = bytes(len(data.PixelData))
    _save(data, path)
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "truncated":
        path.write_bytes(path.read_bytes()[: -patient.scanner.side * patient.scanner.side])
    elif kind == "damaged":
        content = path.read_bytes()
        path.write_bytes(content[:140] + bytes([255]) * 80 + content[220:])


def written(values: NDArray[np.float64], patient: Patient) -> NDArray[np.float64]:
    """The slice with the patient's name in its pixels, as consoles of old burn it in."""
    from PIL import Image, ImageDraw, ImageFont

    page = Image.new("L", values.shape[::-1], 0)
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(size=10)
    draw.text((1, 0), "PHANTOM", fill=255, font=font)
    draw.text((1, values.shape[0] - 12), patient.key, fill=255, font=font)
    return np.where(np.asarray(page) > 127, 900.0, values)


def _uid(seed: int, *names: str | int) -> UID:
    from pydicom.uid import UID

    return UID(f"2.25.{derive(seed, *names)}")


def _save(data: Dataset, path: Path) -> None:
    data.save_as(path, enforce_file_format=True)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    shutil.rmtree(target, ignore_errors=True)
    print(make(target))
