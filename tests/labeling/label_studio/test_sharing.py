"""Who meets which task: one person each, or several by setting."""

import pytest

from pipeline.labeling.label_studio.sharing import is_shared
from tests.builders import image_id


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.3, 240, 360), (1.0, 1000, 1000)])
def test_the_share_is_drawn_by_the_image(share, least, most):
    drawn = [is_shared(image_id(str(number)), share) for number in range(1000)]
    assert least <= sum(drawn) <= most
    assert drawn == [is_shared(image_id(str(number)), share) for number in range(1000)]


@pytest.mark.label_studio
def test_several_people_answer_an_image_where_the_settings_say_so(desk, people):
    owner, colleague = people
    desk.backend(people_per_image=2).push([desk.task("one", value=2.0), desk.task("two", value=1.0)])
    project = desk.project(owner)["id"]
    assert {entry["overlap"] for entry in desk.tasks(owner).values()} == {2}
    first = owner.next_task(project)
    owner.submit(first["id"])
    met = []
    for _ in range(2):
        task = colleague.next_task(project)
        met.append(task["data"]["image_id"])
        colleague.submit(task["id"])
    assert met == [image_id("one"), image_id("two")]
    answers = desk.backend().harvest().answers
    both = [answer.annotator for answer in answers if answer.image_id == image_id("one")]
    assert sorted(both) == sorted([owner.email, colleague.email])


@pytest.mark.label_studio
def test_without_that_setting_nobody_meets_what_another_has_answered(desk, people):
    owner, colleague = people
    desk.backend().push([desk.task("one", value=2.0), desk.task("two", value=1.0)])
    project = desk.project(owner)["id"]
    owner.submit(owner.next_task(project)["id"])
    assert colleague.next_task(project)["data"]["image_id"] == image_id("two")
