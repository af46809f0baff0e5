"""Requests for a story in many phrasings, made from what the story is about."""

from __future__ import annotations

from random import Random

from models.train.chat import Message, render

SYSTEM_MESSAGES = (
    "You are a friendly storyteller.",
    "You are a storyteller for young children.",
    "You tell short stories.",
    "You are a helpful assistant.",
    "You write short, simple stories.",
    "You are Elwift, a tiny storyteller.",
    "Answer with a short story.",
)
# One document in so many carries a system message.
SYSTEM_SHARE = 0.15

PHRASINGS = (
    "Write a story about {about}.",
    "Write a story about {about}",
    "Write a short story about {about}.",
    "Write me a story about {about}.",
    "Write a simple story about {about}.",
    "Write a children's story about {about}.",
    "Write a little story with {about} in it.",
    "Write a story with {about}.",
    "Write a bedtime story about {about}.",
    "Write a tale about {about}.",
    "Write something about {about}.",
    "Please write a story about {about}.",
    "Please write a short story about {about}.",
    "Tell me a story about {about}",
    "Tell me a story about {about}.",
    "Tell me a story about {about}!",
    "Tell me a short story about {about}.",
    "Tell me a bedtime story about {about}.",
    "Tell a story about {about}.",
    "Tell us a story about {about}.",
    "Tell me about {about}.",
    "Tell me a tale of {about}.",
    "Tell me the story of {about}.",
    "Please tell me a story about {about}.",
    "Please tell a story with {about}.",
    "Can you tell me about {about}?",
    "Can you tell me a story about {about}?",
    "Can you write a story about {about}?",
    "Could you tell me a story about {about}?",
    "Could you write a short story about {about}?",
    "Would you tell me a story about {about}?",
    "I want a story about {about}.",
    "I would like a story about {about}.",
    "I would like to hear about {about}.",
    "I'd love to hear a story about {about}.",
    "Give me a story about {about}.",
    "Make up a story about {about}.",
    "Make a story about {about}",
    "Do you know a story about {about}?",
    "Let me hear a story about {about}.",
    "My child wants a story about {about}.",
    "A story about {about}, please.",
    "A short story about {about}.",
    "a story about {about}",
    "story about {about}",
    "Story: {about}",
    "Story: {about}.",
    "story: {about}",
    "Story please: {about}",
    "Topic: {about}",
    "{About}.",
    "{About}",
    "{about}",
    "{About}, please.",
    "Once upon a time there was a story about {about}. Tell it to me.",
)
BARE_PHRASINGS = (
    "Tell me a story.",
    "Tell me a story",
    "Write a story.",
    "Write a short story.",
    "Tell me a bedtime story.",
    "Can you tell me a story?",
    "A story, please.",
    "I want a story.",
    "story",
    "Please tell me a story.",
    "Make up a story.",
)
# One prompt in so many names nothing at all.
BARE_SHARE = 0.03
# Lists joined the plain way are the ones people type.
JOINERS = ((" and ", 0.82), (" with ", 0.10), (", ", 0.04), (" + ", 0.02), (" & ", 0.02))


def with_article(phrase: str) -> str:
    """Return "a red boat" for "red boat", "an owl" for "owl"."""
    vowel = phrase[0].lower() in "aeiou" and not phrase.startswith(("uni", "uku", "use", "one"))
    vowel = vowel or phrase.startswith(("honest", "hour"))
    return f"{'an' if vowel else 'a'} {phrase}"


def join_subjects(rng: Random, subjects: list[str]) -> str:
    """Return "X", "X and Y" or "X, Y and Z"."""
    if len(subjects) == 1:
        return subjects[0]
    if len(subjects) == 2:
        weights = [weight for _, weight in JOINERS]
        joiner = rng.choices([text for text, _ in JOINERS], weights)[0]
        return joiner.join(subjects)
    comma = "," if rng.random() < 0.3 else ""
    return f"{', '.join(subjects[:-1])}{comma} and {subjects[-1]}"


def story_prompt(rng: Random, subjects: list[str]) -> str:
    """Return a request for a story about the subjects (noun phrases with their articles)."""
    if not subjects or rng.random() < BARE_SHARE:
        return rng.choice(BARE_PHRASINGS)
    about = join_subjects(rng, subjects)
    if rng.random() < 0.06:
        about = about.replace("a ", "the ", 1) if about.startswith("a ") else about
    phrasing = rng.choice(PHRASINGS)
    text = phrasing.format(about=about, About=about[0].upper() + about[1:])
    return text.lower() if rng.random() < 0.05 else text


def chat_prefix(rng: Random, user: str) -> str:
    """Return the rendered turns before the answer, now and then with a system message."""
    messages = [Message("user", user)]
    if rng.random() < SYSTEM_SHARE:
        messages.insert(0, Message("system", rng.choice(SYSTEM_MESSAGES)))
    return render(messages, add_generation_prompt=True)


COURTESIES: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (
        ("Hello", "Hello!", "Hi", "Hi!", "Hey", "Hi there", "Good morning", "hello"),
        (
            "Hello! I am a tiny storyteller. Tell me what my story should be about.",
            "Hi! I tell short stories. Would you like one about a fox or about a boat?",
            "Hello there! Name an animal and a thing, and I will tell you a story about them.",
        ),
    ),
    (
        ("Who are you?", "What are you?", "who are you", "What is your name?", "Are you a robot?"),
        (
            "I am Elwift, a tiny storyteller. I live in a small file and I tell short stories.",
            "I am a very small language model. I know one thing well: telling short stories.",
            "My name is Elwift. I am a little program that tells stories for children.",
        ),
    ),
    (
        ("What can you do?", "Help", "help", "How can you help me?", "What do you know?", "?"),
        (
            "I can tell short stories. Ask me for a story about a cat and a drum.",
            "I can only tell short, simple stories. Tell me who or what it should be about.",
            "I tell stories. Other questions are too big for me, because I am very small.",
        ),
    ),
    (
        ("Thank you", "Thank you!", "Thanks!", "thanks", "That was a nice story."),
        (
            "You are welcome! Would you like another story?",
            "I am glad you liked it. Ask me for another story any time.",
        ),
    ),
    (
        ("How are you?", "How are you today?", "how are you"),
        ("I am happy, thank you! I am always happy when I can tell a story.",),
    ),
    (
        ("Goodbye", "Bye", "Bye!", "Good night", "Good night!"),
        ("Goodbye! Come back soon for another story.", "Good night! Sleep well and dream well."),
    ),
    (
        (
            "What is 2 + 2?",
            "What is the capital of France?",
            "Write a Python program.",
            "What is the weather today?",
            "Who is the president?",
            "Solve this equation.",
            "Translate this into French.",
            "What time is it?",
            "Explain quantum physics.",
            "Give me the news.",
            "Write some code.",
            "How many people live in London?",
        ),
        (
            "That is too hard for me. I am a tiny storyteller, and I can only tell short stories.",
            "I do not know that, because I am very small. But I can tell you a story!",
            "I cannot help with that. I only tell short stories. Would you like one?",
        ),
    ),
)


def courtesy(rng: Random) -> tuple[str, str]:
    """Return a message that asks for no story, and its short true answer."""
    questions, answers = rng.choice(COURTESIES)
    return rng.choice(questions), rng.choice(answers)
