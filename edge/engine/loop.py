"""The decode loop: commands, admissions, decode, sample, one `Step` message; and again."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace

from edge.engine.batching.batcher import Batcher, Entry
from edge.engine.batching.caches import Placement
from edge.engine.batching.tokens import Tokens
from edge.engine.intake import (
    Command,
    Commands,
    Dropped,
    Prepared,
    defect,
    overloaded,
    rejected,
)
from edge.engine.llama import CacheFull, DecodeFailed, Llama, Stopped
from edge.engine.messages import (
    Admitted,
    CacheUse,
    Cancel,
    Finished,
    FrameTooLarge,
    Output,
    Pong,
    Rejected,
    Step,
)
from edge.engine.pipe import Pipe
from edge.engine.sequences import Sequence, begin
from edge.engine.threads import Threads
from edge.errors import EngineError, InvalidRequest


class Loop:
    """The decode loop and all that it owns."""

    def __init__(
        self,
        llama: Llama,
        batcher: Batcher,
        threads: Threads,
        pipe: Pipe,
        commands: Commands[Prepared | Dropped],
    ) -> None:
        self._llama = llama
        self._threads = threads
        self._batcher = batcher
        self._caches = batcher.caches
        self._shelf = batcher.caches.shelf
        self._pipe = pipe
        self._commands = commands
        self._sequences: dict[int, Sequence] = {}
        self._finished: list[Finished] = []
        self._admitted: list[Admitted] = []
        self._untidy = True  # what slots keep has not been looked at since somebody came or went
        self._steps = 0
        self._uses: Counter[str] = Counter()
        self._told_use = CacheUse()

    def run(self) -> None:
        """Until the commands say that it is the end."""
        while self._obey():
            self._admit()
            self.tidy()
            entries = self._batcher.plan()
            if entries or self._finished:
                self._step(entries)

    # ---- commands

    def _obey(self) -> bool:
        """All commands that wait; waits for one when there is nothing else to do. False at the
        end."""
        idle = not self._batcher.running and not self._batcher.waiting and not self._finished
        commands = self._commands.take(wait=idle)
        for command in commands or ():
            self._command(command)
        return commands is not None

    def _command(self, command: Command) -> None:
        if isinstance(command, Prepared):
            self._begin(command)
        elif isinstance(command, Cancel):
            self._end(command.key, "cancelled")
        elif isinstance(command, Dropped):
            self._finished.append(Finished(command.key, "cancelled", "", 0, 0, 0, 0.0, 0.0))
        else:
            self._tell_use()
            self._pipe.send(Pong(command.nonce, self._steps, self._threads.now))

    def _tell_use(self) -> None:
        shelf = self._shelf
        use = CacheUse(**self._uses, shelf_caches=len(shelf), shelf_bytes=shelf.size_bytes)
        if use != self._told_use:
            self._told_use = use
            self._pipe.send(use)

    def _begin(self, prepared: Prepared) -> None:
        request = prepared.request
        try:
            sequence = begin(self._llama, request, prepared.tokens, prepared.plan)
        except InvalidRequest as error:
            self._pipe.send(rejected(request.key, error))
            return
        except Exception as error:
            self._pipe.send(defect(request.key, error))
            return
        if sequence.is_full or sequence.stream.stopped:
            reason = "stop" if sequence.stream.stopped else "length"
            self._finished.append(sequence.end(reason))
        # What an earlier engine said is read like a prompt. Rows beside it change the last bits of
        # a token's logits, and of what later ones see of it. So what has a seed is not guessed, and
        # read again as it was said: else one in four texts of 200 tokens went on in another way.
        elif self._batcher.add(
            request.key,
            (*prepared.tokens, *request.resume_tokens),
            singly_from=None if request.sampling.seed is None else len(prepared.tokens),
        ):
            self._sequences[request.key] = sequence
        else:
            sequence.sampler.close()
            self._pipe.send(overloaded(request.key))

    def _end(self, key: int, reason: str) -> None:
        sequence = self._sequences.pop(key, None)
        if sequence is not None:
            self._batcher.remove(key)
            self._untidy = True
            self._finished.append(sequence.end(reason))

    # ---- a step

    def _admit(self) -> None:
        for key, placement in self._batcher.admit():
            self._untidy = True
            kept = placement.keep
            if not self._bring(placement):
                self._batcher.reread(key)
                kept = 0
            self._count_use(placement, kept)
            sequence = self._sequences[key]
            if not sequence.started_ns:  # else it was told before it had to wait again
                sequence.started_ns = time.perf_counter_ns()
                sequence.cached_tokens = min(kept, sequence.prompt_tokens)
                self._admitted.append(
                    Admitted(key, sequence.prompt_tokens, sequence.cached_tokens, sequence.dialect)
                )

    def _count_use(self, placement: Placement, kept: int) -> None:
        copied, fetched = placement.copy_from is not None, placement.fetch is not None
        way = "copied" if copied else "fetched" if fetched else "in_place"
        self._uses[way if kept else "unshared"] += 1
        self._uses["reused_tokens"] += kept

    def _bring(self, placement: Placement) -> bool:
        """Makes llama.cpp's cache what the placement says. False when what it takes over could not
        be brought; then the slot is empty."""
        slot = placement.slot
        if placement.drops is not None:
            self._put_away(slot, placement.drops)
        if placement.copy_from is not None:
            self._llama.copy(placement.copy_from, slot, placement.keep)
        elif placement.fetch is not None:
            state = self._shelf.take(placement.fetch).read()
            if not state or not self._llama.restore(slot, state):
                self._llama.trim(slot, 0)
                return False
        if not self._llama.trim(slot, placement.keep) and placement.keep:
            raise EngineError("llama.cpp could not cut a cache that the self-test could")
        return True

    def _put_away(self, slot: int, cached: Tokens) -> None:
        """What the slot holds goes on the shelf, if it is worth it."""
        if self._shelf.wants(cached, self._llama.state_size_bytes(slot)):
            state = self._llama.state(slot)
            if state:
                self._shelf.put(cached, state)
                self._uses["put_away"] += 1

    def tidy(self) -> None:
        """What nobody uses makes the steps of others long, so it goes on the shelf; one slot's in a
        step, since to read it out takes as long as some steps do."""
        if not self._untidy or not self._batcher.running:
            return
        slot = self._caches.surplus()
        if slot is None:
            self._untidy = False
            return
        self._put_away(slot.number, slot.cached)
        if not self._shelf.spares(slot.cached):
            # There is no room for it: a long step is better than a history that is read again.
            self._untidy = False
            return
        self._llama.trim(slot.number, 0)
        self._caches.forget(slot.number)

    def put_all_away(self) -> None:
        """At the end: what all slots hold goes on the shelf, as far as there is room."""
        for slot in self._caches.by_use():
            self._put_away(slot.number, slot.cached)

    def _step(self, entries: list[Entry]) -> None:
        started_ns = time.perf_counter_ns()
        outputs: list[Output] = []
        decoded = self._decode(entries)
        if decoded is None:
            return
        decode_us = (time.perf_counter_ns() - started_ns) // 1_000
        self._batcher.decoded(decoded)
        index = -1
        for entry in decoded:
            index += len(entry.tokens)
            outputs.append(self._output(entry, index))
        self._steps += 1
        self.tell(
            Step(
                step=self._steps,
                admitted=tuple(self._admitted),
                outputs=tuple(outputs),
                finished=tuple(self._finished),
                running=self._batcher.running,
                waiting=self._batcher.waiting,
                batch_tokens=index + 1,
                decode_us=decode_us,
            )
        )
        self._admitted.clear()
        self._finished.clear()

    def _decode(self, entries: list[Entry]) -> list[Entry] | None:
        """Has llama.cpp make the step, and what was in it: fewer entries where the cache had no
        room for all. None when it was refused, and its sequences have gone back to the node; or
        when it was ended because nobody wants it any more."""
        while entries:
            started_ns = time.perf_counter_ns()
            self._commands.stepping(self._steps + 1, [entry.key for entry in entries])
            try:
                self._llama.decode(
                    (token, entry.start + offset, entry.slot,
                     entry.wants_logits and offset >= len(entry.tokens) - 1 - entry.drafted)
                    for entry in entries
                    for offset, token in enumerate(entry.tokens)
                )  # fmt: skip
            except CacheFull:
                entries = self._make_room()
            except Stopped:
                self._undo(entries)
                return None
            except DecodeFailed as error:
                self._fail(entries, error)
                return None
            else:
                self._learn(entries, time.perf_counter_ns() - started_ns)
                break
            finally:
                self._commands.stepped()
        return entries

    def _learn(self, entries: list[Entry], took_ns: int) -> None:
        """A step took so long: how much the next may read, and with how many threads."""
        tokens = sum(len(each.tokens) for each in entries)
        reading = sum(len(each.tokens) for each in entries if self._batcher.reads(each))
        self._batcher.budget.saw(tokens - reading, reading, took_ns)
        before = self._threads.now
        self._threads.saw(tokens, took_ns, time.perf_counter_ns())
        if self._threads.now != before:
            self._llama.use_threads(self._threads.now)

    def _undo(self, entries: list[Entry]) -> None:
        """A step was ended. llama.cpp takes back what it was at; with more than one pass in a step
        the others would be left."""
        for entry in entries:
            if not self._llama.trim(entry.slot, entry.start):
                self._caches.forget(entry.slot)

    def _make_room(self) -> list[Entry]:
        """Gives up what nobody uses; then has who came last wait again. The step as it is then."""
        slot = self._caches.evict()
        if slot is not None:
            self._llama.trim(slot, 0)
            self._uses["evicted"] += 1
        elif self._batcher.requeue() is None:
            raise EngineError("llama.cpp has no room for one sequence of the context's length")
        else:
            self._uses["requeued"] += 1
        return self._batcher.plan()

    def _output(self, entry: Entry, index: int) -> Output:
        sequence = self._sequences[entry.key]
        if not entry.wants_logits:
            done = min(self._batcher.prefilled(entry.key), sequence.prompt_tokens)
            return Output(entry.key, done, (), "")
        output, reason, right = self._say(sequence, entry, index)
        if entry.drafted:
            # Before it may end: who comes next finds in the slot what is there.
            self._llama.trim(entry.slot, self._batcher.verified(entry, right))
        if reason is not None:
            self._end(entry.key, reason)
        return output

    def _say(self, sequence: Sequence, entry: Entry, index: int) -> tuple[Output, str | None, int]:
        """What the sequence says in this step, why it ends, if it does, and how many guesses were
        right. Each token is sampled as if there had been no guess behind it; that the guess was the
        same makes its logits those of the token that would have been in the next step."""
        said: list[Output] = []
        while True:
            right = len(said)
            place = index - entry.drafted + right
            token = sequence.sampler.sample(self._llama, place)
            output, reason = sequence.take(self._llama, token, place)
            said.append(output)
            if reason is None:
                self._batcher.sampled(entry.key, token)
            guesses = entry.tokens[len(entry.tokens) - entry.drafted :]
            if reason is not None or right == len(guesses) or guesses[right] != token:
                return _joined(said), reason, right

    def tell(self, step: Step) -> None:
        """Says what the step did; what is too much for one message, in one for each sequence."""
        try:
            self._pipe.send(step)
            return
        except FrameTooLarge:
            keys = [
                *(each.key for each in step.admitted),
                *(each.key for each in step.outputs),
                *(each.key for each in step.finished),
            ]
        for key in dict.fromkeys(keys):
            part = replace(
                step,
                admitted=tuple(each for each in step.admitted if each.key == key),
                outputs=tuple(each for each in step.outputs if each.key == key),
                finished=tuple(each for each in step.finished if each.key == key),
            )
            try:
                self._pipe.send(part)
            except FrameTooLarge as error:
                self._discard(key)
                sentence = f"the text of this task cannot be told: {error}"
                self._pipe.send(Rejected(key, "engine_error", sentence, False))

    def _discard(self, key: int) -> None:
        """The sequence ends without a word, if it has not ended yet."""
        sequence = self._sequences.pop(key, None)
        if sequence is not None:
            self._batcher.remove(key)
            sequence.sampler.close()

    def _fail(self, entries: list[Entry], error: DecodeFailed) -> None:
        """The step's sequences go back to the node; their caches are in an unknown state."""
        for entry in entries:
            self._discard(entry.key)
            self._caches.forget(entry.slot)
            self._llama.trim(entry.slot, 0)
            self._pipe.send(Rejected(entry.key, error.code, str(error), True))
        self._admitted = [each for each in self._admitted if each.key in self._sequences]


def _joined(outputs: list[Output]) -> Output:
    """What a sequence has said in one step, as one."""
    if len(outputs) == 1:
        return outputs[0]
    tokens = tuple(token for each in outputs for token in each.tokens)
    text = "".join(each.text for each in outputs)
    lines = tuple(line for each in outputs for line in each.logprobs)
    return Output(outputs[-1].key, outputs[-1].prefilled, tokens, text, lines)
