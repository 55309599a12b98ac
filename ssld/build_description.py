"""From a config to the description of its run: what it will take, of which nothing has to be there yet."""
from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import paddle
from paddle import nn
from PIL import Image

from .build import build_schedule, build_settings, build_terms, build_timetable
from .build_data import loader_section, train_sampler
from .build_networks import build_student, frozen_network, network_options
from .build_onnx import is_onnx
from .build_stored import crop_sampler, is_stored
from .build_teacher import check_class_num
from .checks import positive_int
from .config import Config
from .data.transforms import build_transforms
from .describe.count import cost_of, parameter_count
from .describe.description import Description, Part
from .describe.memory import Memory, memory_of_run
from .distiller import Distiller, Term
from .errors import InputError, located
from .methods.base import FROM_TEACHER, Method
from .models.freeze import Frozen
from .optim.optimizers import REMEMBERED
from .teachers.eager import EagerEngine
from .teachers.live import LiveTeacher
from .teachers.record import TeacherIdentity
from .timetable import Timetable
from .train.settings import Settings

_PICTURES = ((640, 480), (500, 700))            # width and height; what transforms make of both is the size of an image
_ANY_LENGTH = 10 ** 9                           # of a list, where only the batch is asked for


def build_description(config: Config, processes: int = 1, images: int | None = None) -> Description:
    """What the training run of a config will take.

    Args:
        config: of a run.
        processes: that will train.
        images: of the training list; None: as many as the list has lines, not known where it is not there.

    Raises:
        InputError: anything in the config that can be refused without weights and data.
    """
    settings = build_settings(config)
    paddle.seed(settings.seed)
    images = _images(config) if images is None else positive_int("--images", images)
    size, terms = _image_size(config), build_terms(config)
    student, teacher, remarks = _student(config), _teacher(config), []
    parts = [_network_part("student", config, student, size)]
    if teacher:
        parts.append(_network_part("teacher", config, teacher.engine.network, size))
    elif config.section("Arch").get("teacher"):
        remarks.append("The teacher is no network that is built here but stored labels or an ONNX file, and is not counted.")
    needs_file = _attach(config, student, teacher, terms, size, images, settings)
    if needs_file:
        remarks.append(f"Not counted: what {', '.join(needs_file)} make of the teacher's features, which are in that file.")
    for name, method in _named(terms):
        parts += _method_parts(name, method)
    batch, steps, rate, mismatch = _timing(config, settings, positive_int("--processes", processes), images)
    remarks += [mismatch] if mismatch else []
    return Description(config.file, size, parts, batch, steps, rate, _memory(config, student, teacher, terms), remarks)


def _images(config: Config) -> int | None:
    """Lines of the training list; None where the file is not there."""
    path = Path((loader_section(config, "Train").get("dataset") or {}).get("cls_label_path") or "")
    if not path.is_file():
        return None
    with open(path, "rb") as listed:
        return sum(bool(line.strip()) for line in listed)


def _image_size(config: Config) -> tuple[int, int]:
    """Height and width of what the training transforms make of pictures, pixels."""
    where = config.where("DataLoader", "Train", "dataset", "transform_ops")
    transform = build_transforms((loader_section(config, "Train").get("dataset") or {}).get("transform_ops"), where)
    found = set()
    with tempfile.TemporaryDirectory() as folder:
        for number, (width, height) in enumerate(_PICTURES):
            file = Path(folder) / f"{number}.png"
            Image.new("RGB", (width, height)).save(file)
            found.add(tuple(np.shape(transform(file, np.random.default_rng(0)))[-2:]))
    if len(found) > 1:
        raise InputError(f"{where}: images keep a size of their own, so what a network does with them is not known. Add an "
                         "operator that gives all of them one, such as 'CropImage: {size: 32}'.")
    return found.pop()


def _student(config: Config) -> nn.Layer:
    student = build_student(config, load=False)
    trainable = network_options(config, "student").get("trainable")
    if trainable is not None:
        with located(config.where("Arch", "student")):
            Frozen(student, trainable)
    return student


def _teacher(config: Config) -> LiveTeacher | None:
    """The frozen network with random weights; None where there is none, or where it is no network of Paddle."""
    section = config.section("Arch").get("teacher")
    if not section or is_stored(config) or is_onnx(config):
        return None
    check_class_num(config)
    network, _ = frozen_network(config, load=False)
    return LiveTeacher(EagerEngine(network), TeacherIdentity(section["name"], section["class_num"], "", "", "eager", "running"))


def _network_part(role: str, config: Config, network: nn.Layer, size: tuple[int, int]) -> Part:
    cost = cost_of(network, size)
    return Part(role, network_options(config, role)["name"], cost.parameters, cost.multiply_adds)


def _attach(config: Config, student: nn.Layer, teacher: LiveTeacher | None, terms: list[Term], size: tuple[int, int],
            images: int | None, settings: Settings) -> list[str]:
    """Let methods make the layers that depend on networks; returns the names of those that cannot without the teacher."""
    waiting = [type(term.method).__name__ for term in terms if "features" in term.method.needs]
    if not waiting:
        return []
    if teacher is None and any(term.method.needs & FROM_TEACHER for term in terms):
        return waiting
    class_num = network_options(config, "student")["class_num"]
    with located(config.file):
        Distiller(student, teacher, terms).attach(size, np.arange(images or class_num) % class_num, settings.seed)
    return []


def _named(terms: list[Term]) -> list[tuple[str, Method]]:
    return [(type(term.method).__name__, term.method) for term in terms]


def _method_parts(name: str, method: Method) -> list[Part]:
    costs = method.cost()
    if costs:
        return [Part(name, component, cost.parameters, cost.multiply_adds) for component, cost in costs.items()]
    count = parameter_count(method)
    return [Part(name, "layers", count)] if count else []


def _timing(config: Config, settings: Settings, processes: int, images: int | None) -> tuple[dict, dict, dict, str | None]:
    """Batch, steps and learning rate, and what to say when the batch does not fit the rate."""
    make = crop_sampler if is_stored(config) else train_sampler
    sampler = make(config, settings, images or _ANY_LENGTH, 0, processes)
    total = sampler.global_batch * settings.update_freq
    batch = {"per_process": sampler.global_batch // processes, "processes": processes, "update_freq": settings.update_freq,
             "total": total}
    timetable = build_timetable(config, settings, sampler) if images else Timetable.uniform(settings.epochs, 1)
    schedule = build_schedule(config, timetable)
    if not images:
        return batch, {"epochs": settings.epochs}, {"highest": schedule.base}, schedule.mismatch(total)
    steps = {"images": images, "epochs": timetable.epochs, "timetable": str(timetable), "total": timetable.total_steps}
    rate = {"highest": schedule.base, "first": schedule(0), "last": schedule(timetable.total_steps - 1)}
    return batch, steps, rate, schedule.mismatch(total)


def _memory(config: Config, student: nn.Layer, teacher: LiveTeacher | None, terms: list[Term]) -> dict[str, Memory]:
    remembered = REMEMBERED[config.section("Optimizer").get("name", "Momentum")]
    return memory_of_run(student, [term.method for term in terms], teacher and teacher.network, remembered,
                         bool(config.section("EMA")))
