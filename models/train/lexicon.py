"""The generator's words: concrete nouns by kind, with adjectives and habits that fit them.

Every list is plain words in one string, so that adding a word is a matter of typing it. The
nouns also serve to find what a corpus story is about.
"""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    """Things that are used alike: their names, fitting adjectives, and what one does with one."""

    names: tuple[str, ...]
    adjectives: tuple[str, ...]
    # Verb phrases with `{it}`, in the base form: "play with {it}".
    uses: tuple[str, ...]


def words(text: str) -> tuple[str, ...]:
    """Return the words of the text; an underscore stands for a space within one."""
    return tuple(word.replace("_", " ") for word in text.split())


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(phrase.strip() for phrase in text.split(","))


COLOURS = words("red blue green yellow orange purple pink white black brown golden silver grey")

THINGS: dict[str, Kind] = {
    "toy": Kind(
        words(
            "ball kite doll balloon top puzzle robot teddy_bear marble yo-yo skateboard swing"
            " rattle puppet toy_car toy_train toy_boat jigsaw hoop frisbee pinwheel rocking_horse"
            " jump_rope bubble_wand dollhouse block slingshot whirligig spinning_top paper_plane"
        ),
        words("big small new old shiny bright wooden striped favorite funny round pretty"),
        _phrases("play with {it}, show {it} to everyone, take {it} to the park"),
    ),
    "clothing": Kind(
        words(
            "hat scarf coat shoe boot sock dress shirt glove mitten cap cape belt jacket sweater"
            " crown necklace ring bracelet button apron bonnet helmet vest ribbon bow mask shawl"
            " slipper nightgown raincoat watch skirt badge"
        ),
        words("big small new old warm soft pretty fancy woolly striped shiny favorite lovely"),
        _phrases("wear {it}, put {it} on, try {it} on"),
    ),
    "instrument": Kind(
        words(
            "drum flute bell whistle guitar piano trumpet violin horn harp banjo fiddle tambourine"
            " xylophone accordion harmonica music_box gong ukulele recorder"
        ),
        words("big small new old shiny loud wooden bright little lovely golden"),
        _phrases("play {it}, make music with {it}, practice on {it}"),
    ),
    "vehicle": Kind(
        words(
            "boat car train bike truck wagon sled cart bus ship raft canoe tractor scooter plane"
            " rocket taxi van sleigh tricycle motorcycle sailboat submarine carriage fire_truck"
            " helicopter bicycle rowboat airplane digger"
        ),
        words("big small new old fast slow shiny little rusty wooden noisy bright strong"),
        _phrases("ride in {it}, take a trip in {it}, go for a ride in {it}"),
    ),
    "food": Kind(
        words(
            "apple cake cookie pie banana carrot pear peach sandwich pumpkin muffin pancake orange"
            " plum cherry strawberry lemon potato tomato cupcake pizza egg melon turnip onion"
            " mushroom watermelon biscuit donut pretzel bun waffle coconut mango berry cabbage"
            " lollipop chestnut walnut peanut loaf dumpling"
        ),
        words("big small fresh sweet tasty round warm juicy delicious yummy lovely huge"),
        _phrases("eat {it}, taste {it}, take a bite of {it}"),
    ),
    "tool": Kind(
        words(
            "hammer shovel broom rope ladder bucket spoon key pencil brush net axe fishing_rod"
            " rake hook saw nail needle thread paintbrush hose spade magnet crayon pen flashlight"
            " compass telescope magnifying_glass comb fork ruler mop sponge wheelbarrow broomstick"
            " walking_stick pair_of_scissors watering_can"
        ),
        words("big small new old strong shiny wooden useful little long heavy sturdy"),
        _phrases("work with {it}, use {it}, fix things with {it}"),
    ),
    "light": Kind(
        words("lamp lantern candle torch night_light campfire firefly_jar"),
        words("bright small old warm little shiny golden tiny glowing"),
        _phrases("light {it}, carry {it} through the dark, look at the glow of {it}"),
    ),
    "container": Kind(
        words(
            "box basket bag jar chest bottle pot bowl cup teapot suitcase barrel backpack purse"
            " sack kettle mug vase trunk lunchbox treasure_chest jug tin crate wallet plate"
        ),
        words("big small old heavy empty strange wooden pretty round blue secret shiny"),
        _phrases("open {it}, look into {it}, fill {it} with nice things"),
    ),
    "treasure": Kind(
        words(
            "coin gem pearl diamond shell stone feather crystal map medal locket acorn leaf flower"
            " pebble rock rose seashell pinecone daisy sunflower tulip trophy star-shaped_stone"
            " photo picture letter card book diary storybook postcard painting ticket stamp clock"
            " mirror snow_globe pocket_watch magic_wand egg_timer flag lily dandelion clover"
        ),
        words("small shiny pretty old tiny special beautiful smooth strange bright lovely rare"),
        _phrases("look at {it}, keep {it} safe, show {it} to a friend"),
    ),
    "home": Kind(
        words(
            "blanket pillow chair table bed couch rug umbrella tent cushion quilt bench stool"
            " curtain hammock basket_chair sofa towel fan teacup bathtub mat bookshelf desk cradle"
            " rocking_chair stove fence_post door window mailbox birdhouse"
        ),
        words("big small soft old warm cozy pretty wide new striped lovely comfy"),
        _phrases("clean {it}, rest beside {it}, take care of {it}"),
    ),
    "landmark": Kind(
        words(
            "tree bridge tower house castle well fountain statue windmill lighthouse hut cabin"
            " barn treehouse gate wall snowman sandcastle oak_tree apple_tree nest slide tunnel"
            " cottage igloo palace shed haystack scarecrow anthill hollow_log merry-go-round"
        ),
        words("big old tall small little strange beautiful huge wooden lonely quiet secret"),
        _phrases("visit {it}, sit beside {it}, play near {it}"),
    ),
    "sky": Kind(
        words("star cloud rainbow moon snowflake sunbeam raindrop shooting_star comet"),
        words("bright little big shy beautiful tiny lonely pretty soft lovely"),
        _phrases("look up at {it}, make a wish on {it}, draw a picture of {it}"),
    ),
}


class Animal(NamedTuple):
    """An animal: where it lives, what it likes to eat, what it is good at."""

    name: str
    home: str
    food: str
    habit: str


def _animals(text: str) -> tuple[Animal, ...]:
    rows = (line.split(";") for line in text.strip().splitlines())
    return tuple(Animal(*(cell.strip() for cell in row)) for row in rows)


ANIMALS = _animals("""
fox; a den under the hill; berries; run softly through the grass
rabbit; a burrow in the meadow; carrots; hop over the daisies
bear; a cave in the woods; honey; climb tall trees
mouse; a hole in the wall; cheese; run along the shelf
cat; a cozy house; fish; nap in the sun
dog; a house with a red door; bones; chase sticks
puppy; a basket by the stove; biscuits; wag his tail
kitten; a box in the kitchen; milk; play with string
duck; a nest by the pond; seeds; swim in circles
duckling; a nest in the reeds; bread; splash in puddles
frog; a pond; flies; jump from leaf to leaf
turtle; a pond by the road; lettuce; walk slowly and look at everything
tortoise; a quiet garden; leaves; rest in the shade
owl; an old oak tree; nuts; watch the stars
squirrel; a hollow tree; acorns; leap from branch to branch
hedgehog; a pile of leaves; apples; roll into a ball
pig; a barn on a farm; corn; roll in the mud
piglet; a small pen on a farm; turnips; dig in the dirt
cow; a green field; grass; stand by the fence and look at the clouds
horse; a stable; oats; gallop across the field
pony; a stable by the hill; apples; trot along the path
donkey; a shed behind the mill; hay; carry bags to the market
sheep; a valley with soft grass; clover; follow the others
lamb; a pen in the valley; clover; skip around the field
goat; a shed on a rocky hill; leaves; climb on everything
hen; a little coop; corn; count her eggs
chick; a warm nest; seeds; peep and run in the yard
rooster; a barn; corn; wake everyone up
goose; a coop near the river; grass; march along the road
swan; a blue lake; water plants; glide on the water
lion; a land of wide plains; meat; roar at the morning sun
tiger; a jungle; meat; walk without a sound
elephant; a place near the river; leaves; spray water with his trunk
monkey; a tall tree in the jungle; bananas; swing from the vines
giraffe; a land of tall trees; the highest leaves; look over the trees
zebra; a land of dry grass; grass; count his stripes
hippo; a muddy river; water grass; blow bubbles
kangaroo; a dry field; grass; jump very far
koala; a gum tree; leaves; sleep all day
panda; a bamboo forest; bamboo; roll down the hill
penguin; a land of ice; fish; slide on his belly
seal; a cave by the sea; fish; balance things on his nose
whale; the deep sea; tiny shrimp; sing long songs
dolphin; the blue sea; fish; leap over the waves
shark; the deep sea; fish; swim very fast
octopus; a cave under the sea; crabs; juggle shells
crab; a hole in the sand; seaweed; walk sideways
fish; a clear stream; bugs; blow bubbles
snail; a crack in the garden wall; lettuce; leave silver trails
ant; a small hill of sand; crumbs; carry big things
bee; a hive in the garden; honey; hum from flower to flower
butterfly; a garden; nectar; dance in the air
ladybug; a rose bush; tiny bugs; count spots
spider; a corner of the barn; flies; spin webs
caterpillar; a bush with green leaves; leaves; munch all day
cricket; the tall grass; leaves; sing at night
firefly; a dark garden; dew; glow in the night
worm; the soft soil; old leaves; dig little tunnels
bird; a nest in a tree; worms; sing in the morning
robin; a nest by the window; worms; sing on the fence
sparrow; a nest under the roof; crumbs; hop along the fence
crow; a nest in a pine tree; corn; collect shiny things
parrot; a tree in the jungle; fruit; repeat what others say
eagle; a nest on a cliff; fish; fly above the clouds
woodpecker; a pine tree; bugs; knock on wood
peacock; a palace garden; seeds; show his tail
deer; a quiet forest; leaves; leap over logs
moose; a cold forest; moss; wade in the lake
wolf; a dark forest; meat; howl at the moon
raccoon; a hollow log; fish; wash his food in the stream
skunk; a den in the woods; bugs; walk in the moonlight
beaver; a dam on the river; bark; build with sticks
otter; a river bank; fish; slide into the water
badger; a hole under the roots; roots; dig deep tunnels
mole; a tunnel under the garden; worms; dig all day
bat; a dark cave; moths; hang upside down
hamster; a little cage with a wheel; seeds; run on a wheel
lizard; a crack in a warm rock; bugs; lie in the sun
snake; a hole by the rocks; eggs; slide through the grass
crocodile; a warm river; fish; float like a log
camel; a hot desert; dry grass; walk a long way without water
dragon; a cave on a mountain; hot soup; blow little puffs of smoke
dinosaur; a green valley; leaves; stomp through the ferns
unicorn; a magic forest; flowers; gallop under the rainbow
""")

# Word; "m", "f" or "" for either; what this person does all day.
PEOPLE: tuple[tuple[str, str, str], ...] = tuple(
    (cells[0].strip(), cells[1].strip(), cells[2].strip())
    for cells in (
        line.split(";")
        for line in """
boy; m; play outside
girl; f; play outside
boy; m; ask questions
girl; f; ask questions
child; ; play outside
king; m; walk around the castle
queen; f; walk in the rose garden
prince; m; ride around the castle
princess; f; read by the window
farmer; m; take care of the animals
farmer; f; take care of the field
baker; m; bake fresh bread
baker; f; bake sweet cakes
fisherman; m; catch fish
knight; m; guard the castle
wizard; m; mix magic drinks
witch; f; stir her big pot
fairy; f; fly around the flowers
giant; m; walk over the hills
elf; m; mend tiny shoes
gardener; m; water the flowers
gardener; f; plant seeds
teacher; f; teach the children
teacher; m; read to the children
doctor; f; help sick people
painter; m; paint pictures
painter; f; paint pictures
sailor; m; sail on the sea
pirate; m; look for treasure
old man; m; sit on the porch
old woman; f; knit by the fire
grandmother; f; bake for everyone
grandfather; m; tell old stories
shepherd; m; look after the sheep
tailor; m; sew new clothes
cook; m; make soup
cook; f; make soup
clown; m; make people laugh
dancer; f; dance all day
singer; f; sing songs
robot; m; clean the house
mermaid; f; swim with the fish
miller; m; grind flour
carpenter; m; build chairs and tables
mailman; m; bring letters
shopkeeper; f; sell nice things
astronaut; f; look at the stars
cowboy; m; ride across the plain
ghost; m; float around the old house
snowman; m; watch the children play
magician; m; do tricks
inventor; f; build funny machines
""".strip().splitlines()
    )
)

NAMES_MALE = words(
    "Tim Tom Ben Max Sam Jack Leo Finn Noah Omar Milo Oscar Theo Hugo Felix Otto Pip Rufus Benny"
    " Bruno Charlie Danny Eli George Henry Ivan Jasper Karl Luca Marco Nico Oliver Peter Ravi"
    " Simon Toby Victor Walter Zack Amir Bo Cody Dexter Emil Freddy Gus Harry Jojo Kofi Louis"
    " Moses Ned Pablo Rocky Stan Teddy Wally Ziggy Archie Barney Billy Bobby Chip Duke"
)
NAMES_FEMALE = words(
    "Lily Mia Anna Sara Sue Amy Lucy Ella Zoe Ruby Rosie Daisy Molly Nora Ivy Clara Emma Grace"
    " Hana Iris Jane Kate Lola Mila Nina Olive Penny Queenie Rita Sofia Tina Una Vera Wendy Yara"
    " Zara Amina Bella Coco Dora Elsa Fiona Gita Holly Ida Jenny Kim Lena Maya Nelly Poppy Rosa"
    " Stella Tilly Wanda Annie Betty Candy Dolly Flora Hazel Kitty Luna Maggie Mabel Suki"
)

TRAITS = words(
    "brave kind curious shy clever happy little small lazy hungry sleepy gentle playful funny"
    " lonely proud patient quiet cheerful friendly silly grumpy careful helpful young sad honest"
    " greedy busy tiny polite stubborn wise jealous timid fast slow strong"
)

# Place with its article, the preposition that fits, and what one sees there.
PLACES: tuple[tuple[str, str, str], ...] = tuple(
    (cells[0].strip(), cells[1].strip(), cells[2].strip())
    for cells in (
        line.split(";")
        for line in """
the forest; in; tall trees and soft moss
the park; in; green grass and a little pond
the garden; in; flowers of every color
the beach; on; white sand and blue waves
the farm; on; cows, hens and a red barn
the village; in; small houses and a market
the meadow; in; daisies and butterflies
the river; by; cool water and round stones
the lake; by; ducks and tall reeds
the pond; by; frogs and water lilies
the hill; on; soft grass and a wide view
the mountain; on; grey rocks and white snow
the valley; in; green fields and a small stream
the desert; in; hot sand and a big blue sky
the jungle; in; thick vines and bright birds
the castle; in; long halls and high windows
the town; in; busy streets and little shops
the market; at; fruit, bread and happy people
the school; at; desks, books and a playground
the zoo; at; lions, monkeys and giraffes
the playground; on; swings and a long slide
the library; in; books up to the ceiling
the kitchen; in; pots, pans and a warm oven
the attic; in; dust and old boxes
the barn; in; hay and sleepy animals
the orchard; in; apple trees in long rows
the island; on; palm trees and white sand
the cave; in; dark walls and dripping water
the swamp; in; muddy water and old logs
the field; in; golden corn and blue flowers
the harbor; at; ships and seagulls
the bakery; at; warm bread and sweet cakes
the backyard; in; a fence, a tree and a swing
the woods; in; pine trees and little paths
the city; in; tall buildings and many cars
the shop; at; shelves full of things
the toy shop; at; dolls, balls and trains
the museum; at; old pictures and huge bones
the circus; at; clowns, music and bright lights
the train station; at; long trains and busy people
the seashore; on; shells and little crabs
the cottage; in; a fireplace and a soft rug
the cellar; in; jars of jam and cobwebs
the stream; by; clear water and tiny fish
the bridge; on; the river running below
the fair; at; rides, games and candy
the snow; in; white hills and quiet trees
""".strip().splitlines()
    )
)

FOODS_SHARED = _phrases(
    "warm soup, fresh bread, berry pie, honey cakes, apple juice, hot chocolate, pancakes,"
    " cookies, sweet plums, nuts and berries, a big salad, cheese and crackers, noodles, jam tarts"
)


def concrete_nouns() -> frozenset[str]:
    """Return every single-word noun of the lexicon."""
    nouns = {name for kind in THINGS.values() for name in kind.names}
    nouns.update(animal.name for animal in ANIMALS)
    nouns.update(person for person, _, _ in PEOPLE)
    nouns.update(place.removeprefix("the ") for place, _, _ in PLACES)
    return frozenset(word for word in nouns if " " not in word)
