"""Lines that run to the left, in the order in which they are read."""

from hypothesis import given
from hypothesis import strategies as st

from libs.textlayer import LayerLine, Span
from services.worker.engines.layer.leftward import in_reading_order

Placed = tuple[str, float, float]


def line_of(*spans: Placed) -> LayerLine:
    """Texts with their left and right edges, on a line of height 15."""
    return LayerLine(turn=0, spans=tuple(Span(text=text, box=(x0, 0, x1, 15), style=0) for text, x0, x1 in spans))


def read(*spans: Placed) -> list[str]:
    return [line.text for line in in_reading_order(line_of(*spans))]


def test_brackets_stand_around_what_they_enclose() -> None:
    assert read(
        ("(", 792, 797), (" תעשייה", 877, 921), (" )", 868, 873), ("ללא", 846, 868), (" יהלומים", 797, 842)
    ) == ["תעשייה (ללא יהלומים)"]


def test_a_number_in_brackets_is_whole_and_in_its_place() -> None:
    assert read(("(", 932, 937), (" ההוצאה", 886, 928), (" לצריכה", 844, 882), ("1)", 937, 950)) == [
        "(1) ההוצאה לצריכה"
    ]
    assert read(("(2)", 706, 724), (" סופית", 759, 792), (" לנפש", 724, 755)) == ["סופית לנפש(2)"]


def test_brackets_that_are_turned_round_already_stay() -> None:
    assert read(("(ללא)", 700, 740), (" תעשייה", 750, 790)) == ["תעשייה (ללא)"]


def test_a_hyphen_is_between_its_words() -> None:
    assert read((" לנפש", 834, 865), ("-", 869, 874), (" סך", 905, 921), (" הכל", 878, 901)) == ["סך הכל - לנפש"]
    assert read(("קיימא", 794, 827), ("-", 828, 832), (" מוצרים", 854, 893), (" בני", 832, 850)) == ["מוצרים בני-קיימא"]


def test_words_that_stand_closely_keep_their_spaces() -> None:
    assert read(("אב", 100, 120), (" גד", 121, 140), (" הו", 141, 160)) == ["הו גד אב"]


def test_brackets_that_belong_to_words_are_turned_round_with_the_others() -> None:
    assert read((")אב", 141, 170), (" גד(", 100, 130)) == ["(אב גד)"]


def test_text_that_runs_to_the_right_keeps_its_order() -> None:
    assert read(
        ("שלום", 205, 235), (" English", 100, 150), (" words", 155, 190), (" 7", 194, 200), (" לך", 60, 96)
    ) == ["שלום 7 English words לך"]


def test_a_cell_of_a_table_is_cut_off() -> None:
    assert read(("1.9", 609, 629), (" סך", 905, 921), (" הכל", 878, 901)) == ["סך הכל", "1.9"]


@given(
    st.lists(
        st.tuples(st.sampled_from(["שלום", " (א", "2014", "(", ")", " b", "-", "1)"]), st.integers(0, 900)), min_size=1
    )
)
def test_no_character_is_lost(placed: list[tuple[str, int]]) -> None:
    line = line_of(*((text, x, x + 9 * len(text)) for text, x in placed))
    characters = sorted("".join(part.text for part in in_reading_order(line)).replace(" ", ""))
    turned = str.maketrans("()", "((")
    before = sorted("".join(text for text, _ in placed).replace(" ", ""))
    assert sorted("".join(characters).translate(turned)) == sorted("".join(before).translate(turned))
