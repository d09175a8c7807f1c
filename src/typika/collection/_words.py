"""Words for rendered lines of print, written down for this project; the most frequent come first.

`TRAIN` and `HELD_OUT` have no word in common, so that a model that learned whole words gains
nothing from them; both use every letter. `STARTS` open a sentence, with a capital.
"""

from __future__ import annotations

_TRAIN = """
the of and to in is was he for it with as his on be at by had not are but from or have an
they which one were her all she there would their we him been has when who will more no if
out so said what up its about into than them can only other new some could time these two may
then do first any my now such like our over man me even most made after also did many before
must through back years where much your way well down should because each just those people
how too little state good very make world still own see men work long get here between both
life being under never day same another know while last might us great old year off come
since against go came right used take three
house garden window letter paper printer page ink type metal press margin column volume
quarto copper engraver journey harbour mountain valley river bridge castle village market
street quiet quick query quarrel square queen equal request
box next fox exact extra exile oxen text mixture expert luxury
jar joy judge jewel major object subject journal juice jump
zeal zone frozen dozen puzzle bronze prize horizon gauze lazy
knife kitchen basket blanket broken ticket taken silk milk walk
waves winter summer autumn spring morning evening shadow candle lantern copybook
forest orchard meadow cattle sheep horses wheat barley harvest bread butter cheese
merchant sailor captain doctor lawyer farmer baker weaver potter mason
father mother brother sister daughter cousin uncle friend neighbour stranger
don't it's he'd we'll can't they're who's
well-made half-way far-off low-lying two-fold sea-coast
"""

_HELD_OUT = """
that this you either nor upon again without around every found though part once general high
place small number always during left away until water few almost hand enough far head yet
better nothing thing look half best four five white black king's light word call keep
given became whole early kind public power land money matter order course name themselves
form war study sense several possible rather national young larger system story line
kept book scribe vellum parchment quill chapter binding leather shelf library museum archive
cabinet painter portrait gallery marble statue temple pillar tower chapel
question quality quantity conquest squirrel antique liquid
ship's six axe flax complex elixir vex wax
jacket jury juror jest adjust project injury join rejoice
zinc size crazy amaze lizard blaze haze wizard
kettle ankle token skill monk dusk flask bucket
ocean island beach storm thunder cloud rainbow breeze frost glacier
apple cherry pepper ginger honey walnut almond olive
tailor carpenter gardener shepherd fiddler actor singer poet
grandson nephew widow orphan pilgrim beggar
isn't you'd that's won't she'll
short-lived new-born hand-cut lake-side left-over
"""

_TRAIN_STARTS = "The A She Then So At All An Some To There They As Such Three Two Still"
_HELD_OUT_STARTS = "That This Although Several Thus Among Therefore Sometimes Again Above Sixteen"

TRAIN = tuple(_TRAIN.split())
HELD_OUT = tuple(_HELD_OUT.split())
STARTS = {
    "train": tuple(_TRAIN_STARTS.split()),
    "held out": tuple(_HELD_OUT_STARTS.split()),
}
