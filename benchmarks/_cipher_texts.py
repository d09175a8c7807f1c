"""English prose, out of copyright: passages that cipher benchmarks hide, others to learn from.

Openings of Carroll's Alice (1865), Dickens's Two Cities (1859) and Austen's Pride (1813), from
memory and with their spelling made even; no language model of a benchmark learns from them.
"""

from __future__ import annotations

ALICE = """
Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing
to do: once or twice she had peeped into the book her sister was reading, but it had no pictures or
conversations in it, and what is the use of a book, thought Alice, without pictures or
conversations? So she was considering in her own mind, as well as she could, for the hot day made
her feel very sleepy and stupid, whether the pleasure of making a daisy chain would be worth the
trouble of getting up and picking the daisies, when suddenly a white rabbit with pink eyes ran
close by her. There was nothing so very remarkable in that; nor did Alice think it so very much out
of the way to hear the rabbit say to itself, oh dear, oh dear, I shall be too late! When she
thought it over afterwards, it occurred to her that she ought to have wondered at this, but at the
time it all seemed quite natural; but when the rabbit actually took a watch out of its waistcoat
pocket, and looked at it, and then hurried on, Alice started to her feet, for it flashed across her
mind that she had never before seen a rabbit with either a waistcoat pocket, or a watch to take out
of it, and burning with curiosity, she ran across the field after it, and fortunately was just in
time to see it pop down a large rabbit hole under the hedge. In another moment down went Alice
after it, never once considering how in the world she was to get out again. The rabbit hole went
straight on like a tunnel for some way, and then dipped suddenly down, so suddenly that Alice had
not a moment to think about stopping herself before she found herself falling down a very deep
well. Either the well was very deep, or she fell very slowly, for she had plenty of time as she
went down to look about her and to wonder what was going to happen next. First, she tried to look
down and make out what she was coming to, but it was too dark to see anything; then she looked at
the sides of the well, and noticed that they were filled with cupboards and book shelves.
"""

CITIES = """
It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of
foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the season of
light, it was the season of darkness, it was the spring of hope, it was the winter of despair, we
had everything before us, we had nothing before us, we were all going direct to heaven, we were all
going direct the other way; in short, the period was so far like the present period, that some of
its noisiest authorities insisted on its being received, for good or for evil, in the superlative
degree of comparison only. There were a king with a large jaw and a queen with a plain face, on the
throne of England; there were a king with a large jaw and a queen with a fair face, on the throne
of France. In both countries it was clearer than crystal to the lords of the state preserves of
loaves and fishes, that things in general were settled for ever. It was the year of our lord one
thousand seven hundred and seventy five. Spiritual revelations were conceded to England at that
favoured period, as at this. Mere messages in the earthly order of events had lately come to the
English crown and people, from a congress of British subjects in America: which, strange to relate,
have proved more important to the human race than any communications yet received. France, less
favoured on the whole as to matters spiritual than her sister of the shield and trident, rolled
with exceeding smoothness down hill, making paper money and spending it. Under the guidance of her
christian pastors, she entertained herself, besides, with such humane achievements as sentencing a
youth to have his hands cut off, because he had not kneeled down in the rain to do honour to a
dirty procession of monks which passed within his view, at a distance of some fifty or sixty yards.
"""

PRIDE = """
It is a truth universally acknowledged, that a single man in possession of a good fortune, must be
in want of a wife. However little known the feelings or views of such a man may be on his first
entering a neighbourhood, this truth is so well fixed in the minds of the surrounding families,
that he is considered as the rightful property of some one or other of their daughters. My dear Mr
Bennet, said his lady to him one day, have you heard that Netherfield Park is let at last? Mr
Bennet replied that he had not. But it is, returned she; for Mrs Long has just been here, and she
told me all about it. Mr Bennet made no answer. Do not you want to know who has taken it? cried his
wife impatiently. You want to tell me, and I have no objection to hearing it. This was invitation
enough. Why, my dear, you must know, Mrs Long says that Netherfield is taken by a young man of
large fortune from the north of England; that he came down on Monday in a chaise and four to see
the place, and was so much delighted with it that he agreed with Mr Morris immediately; that he is
to take possession before Michaelmas, and some of his servants are to be in the house by the end of
next week. What is his name? Bingley. Is he married or single? Oh, single, my dear, to be sure! A
single man of large fortune; four or five thousand a year. What a fine thing for our girls! How so?
how can it affect them? My dear Mr Bennet, replied his wife, how can you be so tiresome! You must
know that I am thinking of his marrying one of them. Is that his design in settling here? Design!
nonsense, how can you talk so! But it is very likely that he may fall in love with one of them, and
therefore you must visit him as soon as he comes. I see no occasion for that. You and the girls may
go, or you may send them by themselves, which perhaps will be still better, for as you are as
handsome as any of them, Mr Bingley might like you the best of the party.
"""

PASSAGES = {"Alice": ALICE, "Two Cities": CITIES, "Pride": PRIDE}

# What a language model of the benchmarks learns English prose from, beside Python's own manual.
LEARNED = """
Call me Ishmael. Some years ago, never mind how long precisely, having little or no money in my
purse, and nothing particular to interest me on shore, I thought I would sail about a little and
see the watery part of the world. It is a way I have of driving off the spleen and regulating the
circulation. Whenever I find myself growing grim about the mouth; whenever it is a damp, drizzly
November in my soul; whenever I find myself involuntarily pausing before coffin warehouses, and
bringing up the rear of every funeral I meet; and especially whenever my hypos get such an upper
hand of me, that it requires a strong moral principle to prevent me from deliberately stepping into
the street, and methodically knocking people's hats off, then, I account it high time to get to sea
as soon as I can. This is my substitute for pistol and ball. With a philosophical flourish Cato
throws himself upon his sword; I quietly take to the ship. There is nothing surprising in this. If
they but knew it, almost all men in their degree, some time or other, cherish very nearly the same
feelings towards the ocean with me. There now is your insular city, belted round by wharves as
islands by coral reefs; commerce surrounds it with her surf. Right and left, the streets take you
waterward. Look at the crowds of water gazers there.

Four score and seven years ago our fathers brought forth upon this continent a new nation,
conceived in liberty, and dedicated to the proposition that all men are created equal. Now we are
engaged in a great civil war, testing whether that nation, or any nation so conceived and so
dedicated, can long endure. We are met on a great battlefield of that war. We have come to dedicate
a portion of that field as a final resting place for those who here gave their lives that that
nation might live. It is altogether fitting and proper that we should do this. But in a larger
sense we cannot dedicate, we cannot consecrate, we cannot hallow this ground. The brave men, living
and dead, who struggled here have consecrated it far above our poor power to add or detract. The
world will little note nor long remember what we say here, but it can never forget what they did
here. It is for us the living, rather, to be dedicated here to the unfinished work which they who
fought here have thus far so nobly advanced. It is rather for us to be here dedicated to the great
task remaining before us, that from these honoured dead we take increased devotion to that cause
for which they gave the last full measure of devotion; that we here highly resolve that these dead
shall not have died in vain; that this nation, under God, shall have a new birth of freedom; and
that government of the people, by the people, for the people, shall not perish from the earth.

When in the course of human events, it becomes necessary for one people to dissolve the political
bands which have connected them with another, and to assume among the powers of the earth, the
separate and equal station to which the laws of nature and of nature's God entitle them, a decent
respect to the opinions of mankind requires that they should declare the causes which impel them to
the separation. We hold these truths to be self evident, that all men are created equal, that they
are endowed by their creator with certain unalienable rights, that among these are life, liberty
and the pursuit of happiness. That to secure these rights, governments are instituted among men,
deriving their just powers from the consent of the governed, that whenever any form of government
becomes destructive of these ends, it is the right of the people to alter or to abolish it, and to
institute new government, laying its foundation on such principles and organizing its powers in
such form, as to them shall seem most likely to effect their safety and happiness.

In the beginning God created the heaven and the earth. And the earth was without form, and void;
and darkness was upon the face of the deep. And the spirit of God moved upon the face of the
waters. And God said, let there be light: and there was light. And God saw the light, that it was
good: and God divided the light from the darkness. And God called the light day, and the darkness
he called night. And the evening and the morning were the first day. And God said, let there be a
firmament in the midst of the waters, and let it divide the waters from the waters. And God made
the firmament, and divided the waters which were under the firmament from the waters which were
above the firmament: and it was so. And God called the firmament heaven. And God said, let the
waters under the heaven be gathered together unto one place, and let the dry land appear: and it
was so. And God said, let the earth bring forth grass, the herb yielding seed, and the fruit tree
yielding fruit after his kind.

The Lord is my shepherd; I shall not want. He maketh me to lie down in green pastures: he leadeth
me beside the still waters. He restoreth my soul: he leadeth me in the paths of righteousness for
his name's sake. Yea, though I walk through the valley of the shadow of death, I will fear no evil:
for thou art with me; thy rod and thy staff they comfort me. Thou preparest a table before me in
the presence of mine enemies: thou anointest my head with oil; my cup runneth over.

To Sherlock Holmes she is always the woman. I have seldom heard him mention her under any other
name. In his eyes she eclipses and predominates the whole of her sex. It was not that he felt any
emotion akin to love for Irene Adler. All emotions, and that one particularly, were abhorrent to
his cold, precise but admirably balanced mind. He was, I take it, the most perfect reasoning and
observing machine that the world has seen, but as a lover he would have placed himself in a false
position. He never spoke of the softer passions, save with a gibe and a sneer. They were admirable
things for the observer, excellent for drawing the veil from men's motives and actions. But for the
trained reasoner to admit such intrusions into his own delicate and finely adjusted temperament was
to introduce a distracting factor which might throw a doubt upon all his mental results. I had seen
little of Holmes lately. My marriage had drifted us away from each other. My own complete
happiness, and the home centred interests which rise up around the man who first finds himself
master of his own establishment, were sufficient to absorb all my attention, while Holmes, who
loathed every form of society with his whole soul, remained in our lodgings in Baker Street, buried
among his old books. One night, it was on the twentieth of March, I was returning from a journey to
a patient, for I had now returned to civil practice, when my way led me through Baker Street. As I
passed the well remembered door, which must always be associated in my mind with my wooing, and
with the dark incidents of the study, I was seized with a keen desire to see Holmes again, and to
know how he was employing his extraordinary powers. His rooms were brilliantly lit, and, even as I
looked up, I saw his tall, spare figure pass twice in a dark silhouette against the blind. He was
pacing the room swiftly, eagerly, with his head sunk upon his chest and his hands clasped behind
him.

To be, or not to be, that is the question: whether it is nobler in the mind to suffer the slings
and arrows of outrageous fortune, or to take arms against a sea of troubles, and by opposing end
them. To die, to sleep, no more; and by a sleep to say we end the heart ache and the thousand
natural shocks that flesh is heir to: it is a consummation devoutly to be wished. To die, to sleep;
to sleep, perchance to dream; ay, there is the rub: for in that sleep of death what dreams may
come, when we have shuffled off this mortal coil, must give us pause. There is the respect that
makes calamity of so long life. For who would bear the whips and scorns of time, the oppressor's
wrong, the proud man's contumely, the pangs of despised love, the law's delay, the insolence of
office.

When I wrote the following pages, or rather the bulk of them, I lived alone, in the woods, a mile
from any neighbour, in a house which I had built myself, on the shore of Walden pond, in Concord,
Massachusetts, and earned my living by the labour of my hands only. I lived there two years and two
months. At present I am a sojourner in civilized life again. I should not obtrude my affairs so
much on the notice of my readers if very particular inquiries had not been made by my townsmen
concerning my mode of life. Some have asked what I got to eat; if I did not feel lonesome; if I was
not afraid; and the like. I went to the woods because I wished to live deliberately, to front only
the essential facts of life, and see if I could not learn what it had to teach, and not, when I
came to die, discover that I had not lived. I did not wish to live what was not life, living is so
dear. The mass of men lead lives of quiet desperation. What is called resignation is confirmed
desperation.

I was born in the year sixteen hundred and thirty two, in the city of York, of a good family,
though not of that country, my father being a foreigner of Bremen, who settled first at Hull. He
got a good estate by merchandise, and leaving off his trade, lived afterwards at York, from whence
he had married my mother, whose relations were named Robinson, a very good family in that country.
I had two elder brothers, one of whom was killed at the battle near Dunkirk against the Spaniards.
What became of my second brother I never knew, any more than my father or mother knew what became
of me. Being the third son of the family, and not bred to any trade, my head began to be filled
very early with rambling thoughts. My father, who was very ancient, had given me a competent share
of learning, as far as house education and a country free school generally go, and designed me for
the law; but I would be satisfied with nothing but going to sea; and my inclination to this led me
so strongly against the will, nay, the commands of my father, and against all the entreaties and
persuasions of my mother and other friends, that there seemed to be something fatal in that
propensity of nature.

You will rejoice to hear that no disaster has accompanied the commencement of an enterprise which
you have regarded with such evil forebodings. I arrived here yesterday, and my first task is to
assure my dear sister of my welfare and increasing confidence in the success of my undertaking. I
am already far north of London, and as I walk in the streets of Petersburgh, I feel a cold northern
breeze play upon my cheeks, which braces my nerves and fills me with delight. Do you understand
this feeling? This breeze, which has travelled from the regions towards which I am advancing, gives
me a foretaste of those icy climes. It was on a dreary night of November that I beheld the
accomplishment of my toils. With an anxiety that almost amounted to agony, I collected the
instruments of life around me, that I might infuse a spark of being into the lifeless thing that
lay at my feet. It was already one in the morning; the rain pattered dismally against the panes,
and my candle was nearly burnt out, when, by the glimmer of the half extinguished light, I saw the
dull yellow eye of the creature open; it breathed hard, and a convulsive motion agitated its limbs.

There was no possibility of taking a walk that day. We had been wandering, indeed, in the leafless
shrubbery an hour in the morning; but since dinner, when there was no company, the cold winter wind
had brought with it clouds so sombre, and a rain so penetrating, that further outdoor exercise was
now out of the question. I was glad of it: I never liked long walks, especially on chilly
afternoons: dreadful to me was the coming home in the raw twilight, with nipped fingers and toes,
and a heart saddened by the chidings of the nurse, and humbled by the consciousness of my physical
inferiority. The said children were now clustered round their mother in the drawing room: she lay
reclined on a sofa by the fireside, and with her darlings about her, for the time neither
quarrelling nor crying, looked perfectly happy. What does she say I have done? I asked. I do not
like questioners; besides, there is something truly forbidding in a child taking up her elders in
that manner. Be seated somewhere; and until you can speak pleasantly, remain silent.

My father's family name being Pirrip, and my christian name Philip, my infant tongue could make of
both names nothing longer or more explicit than Pip. So, I called myself Pip, and came to be called
Pip. Ours was the marsh country, down by the river, within, as the river wound, twenty miles of the
sea. My first most vivid and broad impression of the identity of things, seems to me to have been
gained on a memorable raw afternoon towards evening. Hold your noise! cried a terrible voice, as a
man started up from among the graves at the side of the church porch. Keep still, you little devil,
or I'll cut your throat! A fearful man, all in coarse grey, with a great iron on his leg. A man
with no hat, and with broken shoes, and with an old rag tied round his head. A man who had been
soaked in water, and smothered in mud, and lamed by stones, and cut by flints, and stung by
nettles, and torn by briars; who limped, and shivered, and glared and growled; and whose teeth
chattered in his head as he seized me by the chin. Oh! do not cut my throat, sir, I pleaded in
terror. Pray do not do it, sir. Tell us your name! said the man. Quick! Pip, sir. Once more, said
the man, staring at me. Give it mouth! Show us where you live, said the man. Point out the place!

Squire Trelawney, Doctor Livesey, and the rest of these gentlemen having asked me to write down the
whole particulars about Treasure Island, from the beginning to the end, keeping nothing back but
the bearings of the island, and that only because there is still treasure not yet lifted, I take up
my pen in the year of grace and go back to the time when my father kept the Admiral Benbow inn and
the brown old seaman with the sabre cut first took up his lodging under our roof. I remember him as
if it were yesterday, as he came plodding to the inn door, his sea chest following behind him in a
hand barrow, a tall, strong, heavy, nut brown man, his tarry pigtail falling over the shoulder of
his soiled blue coat, his hands ragged and scarred, with black, broken nails, and the sabre cut
across one cheek, a dirty, livid white.
"""
