"""A text under keys: what the tests of ciphers hide, and the language that they know it by."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy import ndarray

from typika.ciphers.language import NGramModel, letters_of

LEARNED = """
There was once a miller who had three sons, and when he died he left them nothing but his mill,
his ass and his cat. The sons divided these among them without calling in a lawyer, who would soon
have eaten up the whole of so poor an inheritance. The eldest took the mill, the second took the
ass, and the youngest had nothing but the cat. He was very unhappy at having so small a share. My
brothers, said he, may earn an honest living by working together, but when I have eaten my cat and
made a muff of his skin I must surely die of hunger. The cat, who had heard all this but made as if
he had not, said to him with a grave and serious air: do not worry, my good master; you have only
to give me a bag and have a pair of boots made for me so that I can go into the bushes, and you
will see that your share is not so bad as you think. Although the master did not build very much
upon what he said, he had seen him play such cunning tricks to catch rats and mice, as when he hung
by his heels or hid himself in the meal and made as if he were dead, that he did not wholly despair
of his help in his misery. When the cat had what he asked for, he put on his boots very bravely,
and with his bag about his neck he held the strings of it in his two fore paws and went into a
warren where there were a great many rabbits. He put bran and grass into his bag, and stretching
himself out as if he had been dead, he waited for some young rabbit, not yet acquainted with the
deceits of the world, to come and search his bag for what he had put into it. Hardly was he laid
down when he had what he wanted: a rash and foolish young rabbit jumped into the bag, and the cat
quickly drew the strings close, took him and killed him without pity. Proud of his prey, he went
with it to the palace and asked to speak with the king. He was shown upstairs into the rooms of his
majesty, and making a low bow, he said to him: I have brought you, sir, a rabbit of the warren.
Another time he went and hid himself among standing corn, still holding his bag open; and when a
brace of partridges ran into it, he drew the strings and so caught them both. He went and gave
these to the king, as he had done before with the rabbit. The king received the partridges with
great pleasure and ordered some money to be given to him. The cat continued for two or three months
to carry to the king, from time to time, game of his taking. One day in particular, when he knew
that the king was to take the air along the river with his daughter, the most beautiful princess in
the world, he said to his master: if you will follow my advice your fortune is made. You have
nothing else to do but go and wash yourself in the river, at the place that I shall show you, and
leave the rest to me. He did what the cat advised him to, without knowing why or wherefore.
"""

HIDDEN = """
Once upon a time there was a gentleman who married for his second wife the proudest woman that was
ever seen. She had by a former husband two daughters of her own, who were exactly like her in all
things. He had likewise by another wife a young daughter, but of a goodness and sweetness of temper
without example, which she took from her mother, who was the best creature in the world. No sooner
were the ceremonies of the wedding over but the stepmother began to show herself in her colours.
She could not bear the good qualities of this pretty girl, and the less because they made her own
daughters appear the more odious. She employed her in the meanest work of the house: she scoured
the dishes and the tables, and cleaned the rooms of the lady and of her daughters. She slept in a
sorry garret upon a wretched straw bed, while her sisters lay in fine rooms with floors all inlaid,
upon beds of the very newest fashion, and where they had looking glasses so large that they might
see themselves at their full length from head to foot. The poor girl bore all patiently, and dared
not tell her father, who would have scolded her, for his wife governed him entirely. When she had
done her work she used to go into the chimney corner and sit down among cinders and ashes.
"""


@cache
def language(order: int = 3, *, spaces: bool = False) -> NGramModel:
    return NGramModel.learn(LEARNED, order=order, spaces=spaces)


@cache
def hidden() -> str:
    """A text of some thousand letters that the language was not learned from."""
    known = language(1).alphabet
    return "".join(one for one in letters_of(HIDDEN) if one in known)


def simple(text: ndarray, n_letters: int, seed: int) -> tuple[ndarray, ndarray]:
    """A text of letters under a key one to one, and the letter of each symbol."""
    symbol = np.random.default_rng(seed).permutation(n_letters)
    return symbol[text], np.argsort(symbol)


def homophonic(text: ndarray, n_symbols: int, seed: int) -> tuple[ndarray, ndarray]:
    """... under a key with more symbols for the frequent letters."""
    rng = np.random.default_rng(seed)
    count = np.bincount(text)
    several = np.ones(len(count), dtype=int)
    while several.sum() < n_symbols:
        several[(count / several).argmax()] += 1
    start = np.cumsum(several) - several
    letters = np.repeat(np.arange(len(count)), several)
    symbol = rng.permutation(n_symbols)
    chosen = start[text] + rng.integers(several[text])
    return symbol[chosen], letters[np.argsort(symbol)]
