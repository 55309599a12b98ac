import paddle

from ssld.teachers.live import LiveTeacher
from ssld.teachers.recorded import ENTRY, RecordedTeacher


def test_the_answer_is_what_came_with_the_batch_and_all_else_is_the_teachers():
    engine = object()
    teacher = RecordedTeacher(LiveTeacher(engine))
    logits = paddle.randn([2, 3])
    assert teacher({ENTRY: logits}).logits is logits
    assert teacher.engine is engine and teacher.provides == {"probabilities", "logits"}


def test_features_are_not_recorded():
    class Rich(LiveTeacher):
        provides = frozenset({"probabilities", "logits", "features"})

    assert RecordedTeacher(Rich(None)).provides == {"probabilities", "logits"}
