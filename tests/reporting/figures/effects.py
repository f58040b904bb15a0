"""Effects of genes that the tests of figures draw."""

from __future__ import annotations

from dataclasses import replace

from matplotlib.figure import Figure
from matplotlib.text import Text

from reporting.analysis.gene_effects import GeneEffect, GeneEffects, Interaction, ValueEffect


def value(value: object, count: int = 5, mean: float = 0.9, effect: float = 0.01, reach: float = 0.004) -> ValueEffect:
    if not count:
        return ValueEffect(value=value, count=0)
    return ValueEffect(
        value=value,
        count=count,
        mean=mean,
        interval=(mean - reach, mean + reach) if count > 1 else None,
        effect=effect,
        effect_interval=(effect - reach, effect + reach),
    )


def gene(name: str, *values: ValueEffect, importance: float = 0.01) -> GeneEffect:
    return GeneEffect(name=name, values=values, importance=importance, importance_interval=(0.0, 2 * importance))


FIXED = GeneEffect(name="pooling_place", values=(ValueEffect(value="early", count=10, mean=0.9), value("late", 0)))
KERNEL = gene("kernel", value(1, 3, 0.85, -0.02), value(3, 6, 0.93, 0.02), value(5, 1, 0.9, 0.001), value(7, 0))
RESIDUAL = gene("residual", value(False, 4, 0.88, -0.03), value(True, 6, 0.91, 0.03), importance=0.03)
DROPOUT = gene("dropout", value(0.0, 5), value(0.1, 5, 0.89, -0.01), importance=0.0)
SOME = GeneEffects(
    genes=(KERNEL, FIXED, DROPOUT, RESIDUAL),
    interactions=(
        Interaction(first="kernel", second="dropout", strength=0.001, chance=0.9),
        Interaction(first="kernel", second="residual", strength=0.012, chance=0.002),
        Interaction(first="dropout", second="residual", strength=0.0, chance=1.0),
    ),
    networks=10,
    failures=1,
)
NONE = GeneEffects(genes=(FIXED,), interactions=(), networks=10, failures=0)
UNTRIED = GeneEffect(name="kernel", values=(value(1, 0), value(3, 0)))
RUNS = {
    "some": SOME,
    "no network": GeneEffects(genes=(UNTRIED,), interactions=(), networks=0, failures=3),
    "nothing varied": NONE,
    "one gene": GeneEffects(genes=(KERNEL, FIXED), interactions=(), networks=10, failures=0),
    "no gene": GeneEffects(genes=(), interactions=(), networks=0, failures=0),
    "all equal": GeneEffects(
        genes=tuple(
            gene(name, value(1, 5, 1.0, 0.0, 0.0), value(2, 5, 1.0, 0.0, 0.0), importance=0.0) for name in ("a", "b")
        ),
        interactions=(Interaction(first="a", second="b", strength=0.0, chance=1.0),),
        networks=10,
        failures=0,
    ),
    "wide intervals": GeneEffects(
        genes=(gene("kernel", value(1, 2, 0.1, -0.8, 9.0), value(3, 2, 0.9, 0.8, 9.0)),),
        interactions=(),
        networks=4,
        failures=0,
    ),
    "odd names": GeneEffects(
        genes=(gene("$x^$_" + "y" * 60, value("$a$b", 5), value("<&>", 5)),), interactions=(), networks=10, failures=0
    ),
    "many genes": GeneEffects(
        genes=tuple(replace(KERNEL, name=f"block_{number}") for number in range(24)),
        interactions=tuple(
            Interaction(first=f"block_{one}", second=f"block_{other}", strength=0.01, chance=0.01)
            for one in range(24)
            for other in range(one + 1, 24)
        ),
        networks=10,
        failures=0,
    ),
}


def written(figure: Figure) -> list[str]:
    """All that is written in a figure, names of ticks too."""
    return [str(text.get_text()) for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
