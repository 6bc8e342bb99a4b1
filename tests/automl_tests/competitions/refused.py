"""Competitions that are not read: what they hold is named in the message, and what to convert it to.

The files' contents are no valid ones; no reader gets as far.
"""

from __future__ import annotations

from tests.automl_tests.competitions.miniatures import Folder, miniature


@miniature(7, "isic-2024-challenge", layout="HDF5", task="binary", submission="probability", refused=".hdf5")
def isic_2024(folder: Folder) -> None:
    names = [f"ISIC_{15670 + index:07d}" for index in range(24)]
    folder.junk("train-image.hdf5", "test-image.hdf5")
    rows = [[name, index % 4 == 0, f"IP_{index // 3:07d}", 60] for index, name in enumerate(names)]
    folder.csv("train-metadata.csv", ["isic_id", "target", "patient_id", "age_approx"], rows)
    folder.csv("test-metadata.csv", ["isic_id", "patient_id", "age_approx"], [["ISIC_0015657", "IP_6074337", 45]])
    folder.csv("sample_submission.csv", ["isic_id", "target"], [["ISIC_0015657", 0.3]])


@miniature(8, "rsna-breast-cancer-detection", layout="DICOM", task="binary", submission="probability", refused=".dcm")
def breast_cancer(folder: Folder) -> None:
    header = ["site_id", "patient_id", "image_id", "laterality", "view", "age", "cancer", "biopsy", "invasive"]
    header += ["BIRADS", "implant", "density", "machine_id", "difficult_negative_case"]
    rows = []
    for index in range(24):
        patient, image = 10006 + index // 4, 462822612 + 7919 * index
        folder.junk(f"train_images/{patient}/{image}.dcm")
        view = ["L" if index % 4 < 2 else "R", ("CC", "MLO")[index % 2]]
        rows.append([2, patient, image, *view, 61, int(index % 8 == 0), 0, 0, "", 0, "", 29, False])
    folder.csv("train.csv", header, rows)
    folder.junk("test_images/10008/736471439.dcm")
    test = ["site_id", "patient_id", "image_id", "laterality", "view", "age", "implant", "machine_id", "prediction_id"]
    folder.csv("test.csv", test, [[2, 10008, 736471439, "L", "MLO", 81, 0, 21, "10008_L"]])
    folder.csv("sample_submission.csv", ["prediction_id", "cancer"], [["10008_L", 0.02]])


@miniature(
    9,
    "rsna-miccai-brain-tumor-radiogenomic-classification",
    layout="DICOM",
    task="binary",
    submission="probability",
    refused=".dcm",
)
def brain_tumor(folder: Folder) -> None:
    for index in range(12):
        for sequence in ("FLAIR", "T1w", "T1wCE", "T2w"):
            folder.junk(f"train/{index:05d}/{sequence}/Image-1.dcm")
    folder.junk("test/00001/FLAIR/Image-1.dcm")
    folder.csv("train_labels.csv", ["BraTS21ID", "MGMT_value"], [[f"{index:05d}", index % 2] for index in range(12)])
    folder.csv("sample_submission.csv", ["BraTS21ID", "MGMT_value"], [["00001", 0.5]])


@miniature(
    10,
    "statoil-iceberg-classifier-challenge",
    layout="pixels in JSON",
    task="binary",
    submission="probability",
    refused=".json",
)
def statoil(folder: Folder) -> None:
    def bands() -> dict[str, list[float]]:
        return {band: folder.rng.normal(-20, 5, 75 * 75).round(4).tolist() for band in ("band_1", "band_2")}

    names = folder.hex_ids(6, 8)
    train = [{"id": name, **bands(), "inc_angle": 43.9, "is_iceberg": i % 2} for i, name in enumerate(names[:4])]
    folder.json("train.json", train)
    folder.json("test.json", [{"id": name, **bands(), "inc_angle": 34.9} for name in names[4:]])
    folder.csv("sample_submission.csv", ["id", "is_iceberg"], [[name, 0.5] for name in names[4:]])


@miniature(11, "seti-breakthrough-listen", layout="npy", task="binary", submission="probability", refused=".npy")
def seti(folder: Folder) -> None:
    names = folder.hex_ids(26, 12)
    for name in names[:24]:
        folder.junk(f"train/{name[0]}/{name}.npy", f"old_leaky_data/train_old/{name[0]}/{name}.npy")
    for name in names[24:]:
        folder.junk(f"test/{name[0]}/{name}.npy")
    folder.csv("train_labels.csv", ["id", "target"], [[name, int(i % 8 == 0)] for i, name in enumerate(names[:24])])
    folder.csv("sample_submission.csv", ["id", "target"], [[name, 0.5] for name in names[24:]])


@miniature(36, "tpu-getting-started", layout="TFRecord", task="multiclass", submission="label", refused=".tfrec")
def petals(folder: Folder) -> None:
    for size in (192, 224):
        for split in ("train", "val", "test"):
            folder.junk(f"tfrecords-jpeg-{size}x{size}/{split}/00-{size}x{size}-{split}.tfrec")
    folder.csv("sample_submission.csv", ["id", "label"], [["252d840db", 0], ["1c4736dea", 0]])


@miniature(
    44,
    "rsna-intracranial-hemorrhage-detection",
    layout="DICOM",
    task="multilabel",
    submission="probability, a row for each label",
    refused=".dcm",
)
def hemorrhage(folder: Folder) -> None:
    kinds = ["epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural", "any"]
    names = [f"ID_{name}" for name in folder.hex_ids(14, 9)]
    rows = [[f"{name}_{kind}", (i + j) % 5 == 0] for i, name in enumerate(names[:12]) for j, kind in enumerate(kinds)]
    for index, name in enumerate(names):
        folder.junk(f"stage_2_{'train' if index < 12 else 'test'}/{name}.dcm")
    folder.csv("stage_2_train.csv", ["ID", "Label"], [[row_id, int(label)] for row_id, label in rows])
    sample = [[f"{name}_{kind}", 0.5] for name in names[12:] for kind in kinds]
    folder.csv("stage_2_sample_submission.csv", ["ID", "Label"], sample)


@miniature(
    45,
    "rsna-2022-cervical-spine-fracture-detection",
    layout="DICOM",
    task="multilabel",
    submission="probability, a row for each label",
    refused=".dcm",
)
def cervical_spine(folder: Folder) -> None:
    bones = [f"C{number}" for number in range(1, 8)]
    studies = [f"1.2.826.0.1.3680043.{number}" for number in range(6200, 6212)]
    for study in studies:
        folder.junk(f"train_images/{study}/1.dcm", f"train_images/{study}/2.dcm")
    folder.junk("test_images/1.2.826.0.1.3680043.22327/1.dcm")
    rows = [[study, index % 2, *[0] * 6, index % 2] for index, study in enumerate(studies)]
    folder.csv("train.csv", ["StudyInstanceUID", "patient_overall", *bones], rows)
    test = "1.2.826.0.1.3680043.22327"
    header = ["row_id", "StudyInstanceUID", "prediction_type"]
    folder.csv("test.csv", header, [[f"{test}_{bone}", test, bone] for bone in bones])
    folder.csv("sample_submission.csv", ["row_id", "fractured"], [[f"{test}_{bone}", 0.5] for bone in bones])


@miniature(
    46,
    "bengaliai-cv19",
    layout="parquet",
    task="three labels",
    submission="label, a row for each head",
    refused=".parquet",
)
def bengali(folder: Folder) -> None:
    heads = ["consonant_diacritic", "grapheme_root", "vowel_diacritic"]
    for shard in range(4):
        folder.junk(f"train_image_data_{shard}.parquet", f"test_image_data_{shard}.parquet")
    header = ["image_id", "grapheme_root", "vowel_diacritic", "consonant_diacritic", "grapheme"]
    folder.csv("train.csv", header, [[f"Train_{index}", index % 5, 9, 5, "ক্ট্রো"] for index in range(12)])
    rows = [[f"Test_0_{head}", "Test_0", head] for head in heads]
    folder.csv("test.csv", ["row_id", "image_id", "component"], rows)
    folder.csv("sample_submission.csv", ["row_id", "target"], [[row_id, 0] for row_id, *_ in rows])


@miniature(
    50,
    "cdiscount-image-classification-challenge",
    layout="BSON",
    task="multiclass",
    submission="label",
    refused=".bson",
)
def cdiscount(folder: Folder) -> None:
    folder.junk("train.bson", "train_example.bson", "test.bson")
    folder.csv("category_names.csv", ["category_id", "category_level1"], [[1000021794, "ABONNEMENT / SERVICES"]])
    folder.csv("sample_submission.csv", ["_id", "category_id"], [[10, 1000010653], [14, 1000010653]])
