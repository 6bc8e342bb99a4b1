"""Data sets of class folders as public ones are shipped, with what lies beside them, and no sample."""

from __future__ import annotations

from collections.abc import Iterable

from tests.automl_tests.reading_kinds.kinds import Folder, Read, Refused, Truth, kind


def put(folder: Folder, paths: Iterable[str]) -> dict[str, str]:
    """Paint images whose label is the folder they lie in."""
    train = {path: path.split("/")[-2] for path in paths}
    folder.image(*train)
    return train


@kind("Intel image classification")
def intel(folder: Folder) -> Truth:
    classes = ("buildings", "forest", "glacier", "mountain", "sea", "street")
    train = put(
        folder, (f"seg_train/seg_train/{label}/{97 * n + i}.jpg" for i, label in enumerate(classes) for n in range(5))
    )
    folder.image(
        *(f"seg_test/seg_test/{label}/{20000 + 7 * n + i}.jpg" for i, label in enumerate(classes) for n in range(2))
    )
    folder.image(*(f"seg_pred/seg_pred/{n}.jpg" for n in range(5)))
    return Read(train=train, classes=classes)


@kind("chest x-rays, all of it once more inside", variants=["chest_xray/", ""])
def chest_xray(folder: Folder, above: str) -> Truth:
    train: dict[str, str] = {}
    for copy in ("", "chest_xray/"):
        folder.n_painted = 0
        for part, n_images in (("train", 6), ("val", 2), ("test", 3)):
            put_here = put(
                folder,
                (
                    f"{above}{copy}{part}/{label}/{label.lower()}-{part}{n}.jpeg"
                    for label in ("NORMAL", "PNEUMONIA")
                    for n in range(n_images)
                ),
            )
            if part == "train" and not copy:
                train = put_here
    folder.file(f"{above}__MACOSX/train/NORMAL/._normal-train0.jpeg")
    folder.file(f"{above}chest_xray/train/.DS_Store")
    return Read(train=train, task="binary", says=("repeats the files", "--add"))


@kind("TensorFlow's flower photos")
def flower_photos(folder: Folder) -> Truth:
    classes = ("daisy", "dandelion", "roses", "sunflowers", "tulips")
    train = put(
        folder,
        (
            f"flower_photos/{label}/{1000 + 37 * n}_{n:02x}f{i}c.jpg"
            for i, label in enumerate(classes)
            for n in range(6)
        ),
    )
    folder.file("flower_photos/LICENSE.txt", "CC-BY")
    return Read(train=train, classes=classes, task="multiclass")


@kind("Microsoft's cats and dogs")
def pet_images(folder: Folder) -> Truth:
    train = put(folder, (f"PetImages/{label}/{n}.jpg" for label in ("Cat", "Dog") for n in range(12)))
    folder.file("PetImages/Cat/Thumbs.db")
    folder.file("PetImages/Dog/Thumbs.db")
    folder.file("readme[1].txt", "x")
    return Read(train=train, task="binary")


@kind("Oxford pets")
def oxford_pets(folder: Folder) -> Truth:
    labels = ("Abyssinian", "american_bulldog", "great_pyrenees", "pug")
    train = {f"images/{label}_{n}.jpg": label for label in labels for n in range(1, 8)}
    folder.image(*train, *(path.replace("images", "annotations/trimaps").replace(".jpg", ".png") for path in train))
    folder.file("images/Abyssinian_100.mat")
    folder.file("annotations/list.txt", "#Image CLASS-ID SPECIES BREED ID\nAbyssinian_100 1 1 1\n")
    folder.file("annotations/xmls/pug_1.xml", "<annotation/>")
    return Read(train=train, classes=labels, n_left_out=28, says=("annotations/",))


@kind("malaria cells, all of it once more inside")
def malaria(folder: Folder) -> Truth:
    train: dict[str, str] = {}
    for copy in ("cell_images/", ""):
        folder.n_painted = 0
        train = put(
            folder,
            (
                f"cell_images/{copy}{label}/C{n}P{n}cell_{n}.png"
                for label in ("Parasitized", "Uninfected")
                for n in range(12)
            ),
        )
    folder.file("cell_images/Parasitized/Thumbs.db")
    return Read(train=train, task="binary", n_left_out=24, says=("cell_images/cell_images/ repeats the files",))


@kind("PlantVillage in color, gray and segmented")
def plant_village(folder: Folder) -> Truth:
    truth: dict[str, str] = {}
    for form, ending in (("color", ""), ("grayscale", ""), ("segmented", "_final_masked")):
        paths = (
            f"plantvillage dataset/{form}/{label}/{n:08x}-ab___RS {n}{ending}.jpg"
            for label in ("Apple___Black_rot", "Apple___healthy", "Corn_(maize)___healthy")
            for n in range(6)
        )
        truth = truth or put(folder, paths)
        if form != "color":
            put(folder, paths)
    return Read(train=truth, n_left_out=36, says=("plantvillage dataset/grayscale/", "plantvillage dataset/segmented/"))


@kind("fruits of every side")
def fruits(folder: Folder) -> Truth:
    classes = ("Apple Braeburn", "Apple Golden 1", "Banana", "Kiwi")
    train = put(folder, (f"fruits-360/Training/{label}/{7 * n}_100.jpg" for label in classes for n in range(6)))
    folder.image(*(f"fruits-360/Test/{label}/r_{7 * n}_100.jpg" for label in classes for n in range(3)))
    folder.image("fruits-360/test-multiple_fruits/apple_apricot_1.jpg", "fruits-360/papers/model.png")
    return Read(train=train, classes=classes)


@kind("imagenette")
def imagenette(folder: Folder) -> Truth:
    classes = ("n01440764", "n02102040", "n02979186")
    train = put(folder, (f"imagenette2-160/train/{label}/{label}_{31 * n}.JPEG" for label in classes for n in range(6)))
    folder.image(
        *(f"imagenette2-160/val/{label}/ILSVRC2012_val_{37 * n:08}.JPEG" for label in classes for n in range(3))
    )
    return Read(train=train, classes=classes, says=("--add imagenette2-160/val/", "--fixed-fold imagenette2-160/val/"))


@kind("tiny ImageNet")
def tiny_imagenet(folder: Folder) -> Truth:
    classes = ("n01443537", "n01629819", "n01641577")
    train = {f"train/{label}/images/{label}_{n}.JPEG": label for label in classes for n in range(6)}
    folder.image(*train)
    folder.image(*(f"val/images/val_{n}.JPEG" for n in range(6)), *(f"test/images/test_{n}.JPEG" for n in range(6)))
    folder.file(
        "val/val_annotations.txt", "".join(f"val_{n}.JPEG\t{classes[n % 3]}\t0\t32\t44\t62\n" for n in range(6))
    )
    folder.file("train/n01443537/n01443537_boxes.txt", "n01443537_0.JPEG\t0\t10\t63\t58\n")
    folder.file("wnids.txt", "\n".join(classes))
    return Read(train=train, classes=classes)


@kind("EuroSAT")
def eurosat(folder: Folder) -> Truth:
    classes = ("AnnualCrop", "Forest", "River", "SeaLake")
    train = put(folder, (f"2750/{label}/{label}_{n}.jpg" for label in classes for n in range(1, 8)))
    return Read(train=train, classes=classes)


@kind("Caltech 101")
def caltech(folder: Folder) -> Truth:
    classes = ("BACKGROUND_Google", "Faces", "Faces_easy", "accordion", "airplanes")
    sizes = (9, 5, 5, 4, 7)
    train = put(
        folder,
        (
            f"caltech-101/101_ObjectCategories/{label}/image_{n:04}.jpg"
            for label, size in zip(classes, sizes, strict=True)
            for n in range(1, size)
        ),
    )
    folder.file("caltech-101/Annotations/accordion/annotation_0001.mat")
    return Read(train=train)


@kind("breast histology of patients, all of it once more inside")
def histology(folder: Folder) -> Truth:
    train: dict[str, str] = {}
    for copy in ("IDC_regular_ps50_idx5/", ""):
        folder.n_painted = 0
        train = put(
            folder,
            (
                f"{copy}{8863 + 13 * p}/{c}/{8863 + 13 * p}_idx5_x{51 + n}_y{c}_class{c}.png"
                for p in range(12)
                for c in (0, 1)
                for n in range(2)
            ),
        )
    return Read(train=train, classes=["0", "1"], groups="folder", says=("IDC_regular_ps50_idx5/ repeats the files",))


@kind("rock, paper, scissors", variants=["rps-test-set/rps-test-set/", "rps-test-set/"])
def rock_paper_scissors(folder: Folder, test: str) -> Truth:
    classes = ("paper", "rock", "scissors")
    train = put(
        folder, (f"rps/rps/{label}/{label}{n:02}-{i:03}.png" for label in classes for n in range(2) for i in range(4))
    )
    folder.image(*(f"{test}{label}/test{label}{n:02}-00.png" for label in classes for n in range(3)))
    return Read(train=train, classes=classes)


@kind("real and fake faces")
def faces(folder: Folder) -> Truth:
    train = {f"real_and_fake_face/training_fake/easy_{n}_1{n:03}.jpg": "training_fake" for n in range(8)}
    train |= {f"real_and_fake_face/training_real/real_{n:05}.jpg": "training_real" for n in range(9)}
    folder.image(*train)
    return Read(train=train, task="binary", says=("real_and_fake_face/training_fake/ is taken for a class",))


@kind("Stanford dogs")
def stanford_dogs(folder: Folder) -> Truth:
    classes = ("n02085620-Chihuahua", "n02085782-Japanese_spaniel", "n02107574-Greater_Swiss_Mountain_dog")
    train = put(folder, (f"images/Images/{label}/{label[:9]}_{199 * n}.jpg" for label in classes for n in range(5)))
    folder.file("annotations/Annotation/n02085620-Chihuahua/n02085620_199", "<annotation/>")
    return Read(train=train, classes=classes)


@kind("Caltech-UCSD birds")
def birds(folder: Folder) -> Truth:
    classes = ("001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross")
    paths = [f"{label}/{label[4:]}_{17 * n:04}_{79 * n}.jpg" for label in classes for n in range(6)]
    train = put(folder, (f"CUB_200_2011/images/{path}" for path in paths))
    folder.image(*(f"CUB_200_2011/segmentations/{path.replace('.jpg', '.png')}" for path in paths))
    folder.file("CUB_200_2011/images.txt", "".join(f"{n + 1} {path}\n" for n, path in enumerate(paths)))
    folder.file("attributes.txt", "1 has_bill_shape::curved\n")
    return Read(train=train, classes=classes, n_left_out=18, says=("segmentations",))


@kind("Food-101")
def food(folder: Folder) -> Truth:
    classes = ("apple_pie", "baby_back_ribs", "waffles")
    train = put(
        folder,
        (f"food-101/images/{label}/{1005649 + 377 * n + i}.jpg" for i, label in enumerate(classes) for n in range(6)),
    )
    folder.file("food-101/meta/train.txt", "".join(f"{path[16:-4]}\n" for path in train))
    folder.json(
        "food-101/meta/train.json", {label: [path[16:-4] for path in train if label in path] for label in classes}
    )
    return Read(train=train, classes=classes)


@kind("traffic signs below numbered folders")
def traffic_signs(folder: Folder) -> Truth:
    train = put(
        folder, (f"GTSRB/Training/{c:05}/{t:05}_{n:05}.ppm" for c in range(5) for t in range(2) for n in range(3))
    )
    folder.image(*(f"GTSRB/Test/{n:05}.ppm" for n in range(6)))
    return Read(train=train, classes=[f"{c:05}" for c in range(5)])


@kind("dogs and cats by file name")
def dogs_and_cats(folder: Folder) -> Truth:
    train = {f"train/{label}.{n}.jpg": label for label in ("cat", "dog") for n in range(9)}
    folder.image(*train, *(f"test1/{n}.jpg" for n in range(1, 6)))
    return Read(train=train, task="binary")


@kind("faces of age, gender and race")
def ages(folder: Folder) -> Truth:
    folder.image(*(f"UTKFace/{3 * n + 1}_{n % 2}_{n % 5}_2017010423102{n:04}.jpg.chip.jpg" for n in range(20)))
    return Refused(says=("several numbers", "train.csv"))


@kind("photographs by date and camera")
def by_date(folder: Folder) -> Truth:
    folder.image(
        *(f"2021-05-{d:02}/camera{c}/IMG_{d}{c}{n:03}.jpg" for d in range(1, 6) for c in (1, 2) for n in range(3))
    )
    return Refused(says=("hardly classes", "--class-level"))
