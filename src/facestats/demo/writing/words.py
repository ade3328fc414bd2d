"""The lexicon of the demo captions: the phrases for each option, and the sentence frames that hold them.

Every entry is one string of three groups, `both // training only // evaluation only`, with ` | ` between phrases.
Evaluation phrases combine known words in new ways, because a small model cannot know a word that it has never seen.
The spelling is American; `captions` writes a share of the texts in British spelling.
"""

from __future__ import annotations

from functools import cache


@cache
def parse_phrases(entry: str) -> dict[str, tuple[str, ...]]:
    """Split a lexicon entry into the phrases that each split may use.

    Parameters
    ----------
    entry
        `both // training only // evaluation only`, with ` | ` between phrases; later groups may be missing.

    Returns
    -------
    dict
        `train` and `eval`: the shared phrases, followed by those of that split.
    """
    both, train, held_out = (
        [w.strip() for w in g.split("|") if w.strip()] for g in (entry + " // // ").split("//")[:3]
    )
    return {"train": tuple(both + train), "eval": tuple(both + held_out)}


# Adjectives, used before a noun, after "is", and in tags.
ADJECTIVES = {
    "age": {
        "child": "little // small // young",
        "teen": "teenage | teen // adolescent // teenaged",
        "young adult": "young // youngish | twenty-something // fairly young | twentysomething",
        "middle-aged": "middle-aged // forty-something // visibly middle-aged | middle aged",
        "elderly": "elderly | old // aged | senior // very old | rather elderly",
    },
    "ethnicity": {
        "Asian": "Asian | East Asian // Japanese | Korean | Chinese // Southeast Asian | South Asian",
        "African": "African // Black | African American | Nigerian // West African | East African",
        "Caucasian": "Caucasian | European // white | Scandinavian // Northern European | white European",
        "Hispanic": "Hispanic | Latin American // Mexican | Colombian // Latin-American | Hispanic American",
        "Middle Eastern": "Middle Eastern // Arab | Persian | Lebanese // Middle-Eastern | middle eastern",
    },
    "hair_style": {
        "straight": "straight // sleek straight | pin-straight // smooth straight | perfectly straight",
        "curly": "curly // tightly curled | curled // very curly | thick curly",
        "wavy": "wavy // gently waved // softly wavy | loosely wavy",
        "braided": "braided // plaited // neatly braided | tightly braided",
    },
    "hair_color": {
        "black": "black | jet-black // raven-black | inky black // deep black | coal-black",
        "brown": "brown | dark brown // chestnut | brunette // medium brown | chestnut-brown",
        "blonde": "blonde // golden blonde | golden | flaxen // pale blonde | honey-blonde",
        "red": "red | ginger // copper-red | fiery red // flaming red | ginger-red",
        "white": "white // snow-white | pure white // all-white | milky white",
        "gray": "gray // silver | silvery gray | graying // ash-gray | silver-gray",
        "colorful": "colorful dyed | blue | pink | green | purple // rainbow-colored | neon green | turquoise | "
        "brightly dyed // bright pink | neon blue | dyed green | colorful | violet and pink",
    },
    "hair_length": {
        "short": "short // cropped | close-cropped | very short // fairly short | short-cut",
        "medium": "medium-length | shoulder-length // mid-length | chin-length // medium length",
        "long": "long // waist-length | very long // extremely long | flowing long",
    },
    "eye_color": {
        "brown": "brown | dark brown // chocolate-brown | chestnut // deep brown | warm brown",
        "blue": "blue | light blue // sky-blue | sapphire // deep blue | icy blue",
        "green": "green // emerald-green | emerald // sea-green | bright green",
        "gray": "gray // steel-gray | slate-gray // cool gray | stormy gray",
        "hazel": "hazel // greenish hazel | hazel-brown // light hazel | warm hazel",
        "amber": "amber // golden amber | honey-colored | golden // bright amber | amber-colored",
    },
    "body_type": {
        "slim": "slim | slender // thin | lean | skinny // very slim | slim-bodied",
        "average": "average | ordinary // medium | normal // fairly average | quite ordinary",
        "muscular": "muscular | athletic // brawny | well-muscled // very muscular | strongly muscular",
        "curvy": "curvy // full-figured | rounded // softly curvy | very curvy",
        "heavy": "heavy | heavyset // stout | plump | overweight // rather heavy | heavy-bodied",
    },
}

NOUNS = {
    "adult": {
        "male": "man // guy | gentleman | fellow | male // male person",
        "female": "woman // lady | female // female person",
        "non-binary": "non-binary person | androgynous person // nonbinary person | genderqueer person | "
        "non-binary individual // androgynous individual | androgynous-looking person",
        None: "person | individual // character | human // figure | subject",
    },
    "teen": {
        "male": "boy // youth | lad // boy",
        "female": "girl // lass | young lady // girl",
        "non-binary": "non-binary person | androgynous person // nonbinary person // androgynous individual",
        None: "person // kid // individual",
    },
    "unstated": {
        "male": "male person // male character | male figure // male individual",
        "female": "female person // female character | female figure // female individual",
        "non-binary": "non-binary person | androgynous person // nonbinary character // androgynous individual",
        None: "person | individual // character // figure | subject",
    },
    "child": {
        "male": "boy // lad // male child",
        "female": "girl // lass // female child",
        "non-binary": "non-binary child | androgynous child // nonbinary kid // androgynous kid",
        None: "child | kid // toddler",
    },
}
# Ages without an adjective: predicates after "is", and nouns that say only the age.
AGE_PREDICATES = {
    "child": "a child | a kid // a small child | still a child // only a child",
    "teen": "a teenager | a teen // an adolescent | in {p} teens // still a teenager",
    "young adult": "a young adult | in {p} twenties // in {p} early twenties | young // in {p} mid-twenties",
    "middle-aged": "middle-aged | in {p} forties // in {p} late forties | in {p} fifties // in {p} mid-forties",
    "elderly": "elderly | old | a senior // a pensioner | in {p} seventies | in {p} eighties // in {p} late seventies",
}
AGE_NOUNS = {
    "teen": "teenager | adolescent // teen // young teenager",
    "young adult": "young adult // twenty-something // young adult person",
    "elderly": "senior // pensioner // senior citizen",
}
AGE_YEARS = {
    "child": (4, 11),
    "teen": (13, 18),
    "young adult": (20, 32),
    "middle-aged": (40, 59),
    "elderly": (66, 92),
}

DRESS = {
    "casual": "casual clothes | a {c}T-shirt // a {c}hoodie | jeans and a {c}T-shirt | a {c}sweatshirt | everyday clothes"
    " // a casual {c}T-shirt | a casual outfit | a casual hoodie",
    "formal": "formal clothes | a {c}suit // a {c}suit and tie | a tuxedo | a {c}suit with a tie | an evening gown | "
    "formal wear // a formal {c}suit | formal attire | a formal gown",
    "traditional": "traditional clothes | a folk costume // an embroidered folk dress | a kimono | a sari | traditional "
    "dress // traditional attire | an embroidered folk costume | a traditional folk costume",
    "uniform": "a {c}uniform // a military uniform | a police uniform | a school uniform | a nurse's uniform // "
    "a uniform with badges | a soldier's uniform | an officer's uniform",
    "fantasy": "a fantasy costume // a cape and armor | a wizard's robe | elven armor | a knight's armor and a cloak"
    " // fantasy armor | a wizard's cape | an elven fantasy costume",
    "modern": "modern fashion | modern clothes // a sleek modern jacket | contemporary fashion | trendy clothes"
    " // a modern outfit | a modern {c}jacket | trendy modern clothes",
}
STYLE_TAILS = {
    "straight": "hanging straight // falling straight // worn straight",
    "curly": "in curls // falling in tight curls | in ringlets // in thick curls",
    "wavy": "in loose waves // falling in waves // in soft waves",
    "ponytail": "in a ponytail | tied back in a ponytail // pulled into a high ponytail // gathered in a ponytail",
    "bun": "in a bun | tied up in a bun // pinned up in a bun | in a topknot // twisted into a low bun",
    "braided": "in braids // woven into braids | in two plaits // worn in two braids",
}
STYLE_VERBS = {
    "straight": "is straight | hangs straight // falls straight // is worn straight",
    "curly": "is curly // falls in curls | curls tightly // hangs in curls",
    "wavy": "is wavy // falls in loose waves | waves gently // hangs in waves",
    "ponytail": "is tied back in a ponytail | is in a ponytail // is pulled into a ponytail // is gathered in a ponytail",
    "bun": "is in a bun | is tied up in a bun // is pinned up in a topknot // is twisted into a bun",
    "braided": "is braided | is in braids // is woven into braids | is plaited // is tied in braids",
}
STYLE_NOUNS = {
    "curly": "curls // ringlets // thick curls",
    "wavy": "waves // loose waves // soft waves",
    "ponytail": "a ponytail // a high ponytail | a pony tail // a low ponytail",
    "bun": "a bun | a hair bun // a topknot // a low bun",
    "braided": "braids // plaits | cornrows | a thick braid // two braids",
}
LENGTH_TAILS = {
    "medium": "down to the shoulders // that touches the shoulders // falling to the shoulders",
    "long": "down to the waist // that falls down {p} back | that reaches the hips // falling to the waist",
}
LENGTH_VERBS = {
    "short": "is short | is cut short // is cropped // is worn short",
    "medium": "is medium-length | reaches the shoulders // is shoulder-length | falls to the shoulders // is of medium length",
    "long": "is long | falls to the waist // reaches down to the hips | falls far below the shoulders // reaches the waist",
}
BALD = {
    "adjective": "bald // bald-headed | hairless // completely bald",
    "noun": "a bald head // a shaved head | no hair on {p} head // a completely bald head",
    "clause": "{S} {is} bald | {S} {has} a bald head // {S} {has} no hair at all | {P} head is shaved | {S} {has} no hair"
    " // {P} head is bald | {S} {has} no hair on {p} head",
}

FRAMES = {
    "opening": "{N}. | A photo of {n}. | A portrait of {n}. | {N} looks at the camera. // This picture shows {n}. | "
    "{N} stands {place}. | {N}, {doing}. | A drawing of {n} {place}. | We see {n} {place}. | {N} is {doing} {place}."
    " // An image of {n} {place}. | Here is {n}, {doing}. | {N} poses {place}. | Half-body portrait of {n}.",
    "eye_color": "{P} eyes are {x} | {S} {has} {x} eyes // {S} {looks} at us with {x} eyes | the color of {p} eyes is {x}"
    " // {P} eyes look {x} | {S} {has} a pair of {x} eyes",
    "body_type": "{S} {has} a {x} build | {P} build is {x} // {S} {has} a {x} figure | {S} {is} of {x} build | "
    "{P} body is {x} // {P} figure is {x} | {S} {has} a {x} body",
    "ethnicity": "{S} {is} {x} | {S} {is} of {x} descent // {S} {has} {x} features | {S} {has} {x} roots"
    " // {S} {looks} {x} | {S} {is} of {x} origin",
    "dress": "{S} {wears} {x} | {S} {is} wearing {x} // {S} {is} dressed in {x} | {S} {has} {x} on"
    " // {S} {is} clothed in {x} | {P} outfit is {x}",
    "age": "{S} {is} {x} // {S} {seems} to be {x} // {S} {is} surely {x}",
    "gender": "{S} {is} {x} // {S} {identifies} as {x} // {S} {seems} to be {x}",
    "hair_np": "{S} {has} {x} // {S} {wears} {x} // {S} now {has} {x}",
    "hair_list": "{P} hair is {x} // {P} hair looks {x} // {P} hair appears {x}",
    "descent": "of {x} descent // of {x} heritage | with {x} roots // of {x} origin",
    "build": "of {x} build | with a {x} build // with a {x} figure // with a {x} body",
    "wearing": "wearing | in // dressed in | who wears // clothed in",
    "join": "._ | ,_and_ | _and_ // ;_ | ,_while_ // ;_also_",  # an underscore stands for a space, which parsing would strip
    "place": "in front of a wall | in a park // in a studio | on a street | by a window | at home // in a garden | outdoors",
    "doing": "smiling | looking at the camera // laughing | sitting on a chair | facing us // standing still",
    "filler": "the light is soft | the background is blurred // it is a sunny day | the picture is slightly noisy | "
    "{S} {looks} calm | {S} {smiles} | this was taken by {name} | it was painted by {name} // {P} name is {name} | "
    "{S} {looks} tired",
}
# The plainest frame of an attribute, for "black, not blonde".
PLAIN = {
    "ethnicity": "{S} {is} {x}",
    "eye_color": "{P} eyes are {x}",
    "body_type": "{P} build is {x}",
    "dress": "{S} {wears} {x}",
}
PREDICATED_GENDER = {
    "male": "male | a man // male-presenting // a male person",
    "female": "female | a woman // female-presenting // a female person",
    "non-binary": "non-binary | androgynous // genderqueer | nonbinary // a non-binary person",
}

# What is not about the person: attribute words that describe things, other people, and what is denied.
COLORS = "black | brown | blonde | red | white | gray | blue | green | amber | golden | pink | purple | silver | hazel // yellow"
THINGS = "scarf | car | wall | bag | hat | umbrella | door // balloon | chair | sofa | bicycle | lamp | flower | book // curtain | wall | bag"
ODD_THINGS = (
    "a straight road | a curly ribbon | a long table | an old house | a modern building | a bald eagle | a heavy suitcase"
    " // a wavy line | a braided rope | a short fence | a medium-sized dog | a young tree | a slim book | a muscular horse"
    " | a curvy road | an average-sized room | a traditional temple | a formal garden | a fantasy novel | an Asian vase"
    " | an African mask | a European church | a Mexican blanket | a Middle Eastern rug | a male lion | a female deer"
    " | a child's drawing | a teenage pop star's poster | an elderly cat | a bun on a plate | a suit on a hanger"
    " | a police car | a casual sign | a doll with red hair | a statue with curls"
    " // a long road | a straight fence | a curly rope | an old car | a modern chair | a heavy door | a short table"
    " | an African vase | a traditional rug | a young cat | a slim dog | a formal sign"
)
THING_FRAMES = "in front of {t} | next to {t} | holding {t} // with {t} | beside {t} | leaning on {t} // near {t} | standing by {t}"
THING_CLAUSES = (
    "there is {t} in the background | behind {o} is {t} // {S} {is} holding {t} | in the distance we see {t}"
    " | {p} bag lies on {t} // next to {o} is {t} | we also see {t}"
)
WORN = (
    "with a {c} scarf | with a {c} bow in {p} hair // wearing a {c} hat | with {c} earrings | with a {c} flower in {p} hair"
    " | wearing {c} gloves | with {c} lipstick // wearing a {c} scarf | with a {c} hat | wearing {c} earrings"
)
OTHERS = (
    "next to {o} stands {n} | {n} walks past in the background | {p} friend is {n} // behind {o} we see {n}"
    " | {n} sits beside {o} | on the left is {n}, not {o} | {p} neighbor, {n}, looks away | {s} {is} talking to {n}"
    " // beside {o} is {n} | {n} stands in the background | behind {o} stands {n}"
)
BARE = (
    "no beard | no glasses | without a hat | not smiling // no mustache | without glasses | no jewelry | no makeup | without a beard"
    " // no hat | without makeup | without jewelry"
)
BARE_CLAUSES = (
    "{S} {has} no beard | {S} {does} not wear glasses | {S} {is} not smiling // {S} {wears} no makeup | there is no hat"
    " | {S} {has} no mustache // {S} {wears} no glasses | {S} {has} no jewelry"
)
DENIED = {
    "age": "{S} {is} not {x} // {S} {does} not seem to be {x} // {S} {is} certainly not {x}",
    "gender": "{S} {is} not {x} // {S} {does} not seem to be {x} // {S} {is} certainly not {x}",
    "ethnicity": "{S} {is} not {x} // {S} {is} not of {x} descent // {S} {is} certainly not {x}",
    "hair_color": "{P} hair is not {x} | {S} {does} not have {x} hair // no {x} hair | without {x} hair // {S} {has} no {x} hair",
    "hair_length": "{P} hair is not {x} | {S} {does} not have {x} hair // no {x} hair // {S} {has} no {x} hair",
    "adjective_style": "{P} hair is not {x} // {S} {does} not have {x} hair | no {x} hair // {S} {has} no {x} hair",
    "noun_style": "{S} {does} not wear {x} | without {x} // {P} hair is not in {x} // {S} {has} not {x}",
    "eye_color": "{P} eyes are not {x} | {S} {does} not have {x} eyes // no {x} eyes // without {x} eyes",
    "body_type": "{S} {is} not {x} // {S} {does} not have a {x} build | {P} build is not {x} // {S} {is} certainly not {x}",
    "dress": "{S} {is} not wearing {x} | {S} {does} not wear {x} // not in {x} | without {x} // not dressed in {x}",
}
CONTRAST = "{x}, not {y} // {x} rather than {y} | {x} and not {y} | not {y} but {x} // {x} instead of {y}"
