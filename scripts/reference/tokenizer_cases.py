"""Small tokenizers of every kind, with the ids that their reference implementations give to hard texts.

Writes `tests/suite/tokenizers/data`: one compressed file a tokenizer, and `ids.json`. Needs the packages tokenizers 0.23.3,
sentencepiece 0.2.3 and mistral-common 1.13.1: python3 scripts/reference/tokenizer_cases.py
"""

import base64
import copy
import io
import json
import os
import tempfile

import sentencepiece
from mistral_common.tokens.tokenizers.tekken import Tekkenizer
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from cases import write_gzip

DATA = os.path.join(os.path.dirname(__file__), "../../tests/suite/tokenizers/data")

CORPUS = [
    "The cat sat on the mat, and the other cats sat there as well. It isn't what we've been told; they'll see it.",
    "def main(values):\n\tfor value in values:\n\t\tprint(value * 2)  # the values\n\n    return values",
    "Die Katze saß auf der Matte. Größe, Übung, Äpfel. Le café était fermé à l'été.",
    "Привет, мир! Как дела? Это проверка. 你好，世界。我是学生。こんにちは世界。안녕하세요 세계.",
    "In 2024 there were 1,234,567 tokens and 42 requests; 3.14159 and 0x7fff. https://example.com/a?b=c",
    "مرحبا بالعالم. שלום עולם. สวัสดี. 😀 👍🏽 👨‍👩‍👧 ∑ ≠ ∞ ½ ﬁ ™",
] * 4

TEXTS = [
    "",
    " ",
    "the cat",
    " the  cat   sat",
    "\tthe\n\n\n cat \r\n\t\n",
    "It isn't WE'VE they'll 'S I'm",
    "def f(x):\n\treturn x**2\n\n    # the value\n",
    "1234567 12 3 0x7fff 1,000",
    "Größe Übung caf\u00e9 cafe\u0301 \u00c5 ﬁ ½ ™",
    "Привет 你好，世界 こんにちは 안녕 مرحبا שלום สวัสดี",
    "😀👍🏽👨‍👩‍👧🇩🇪 \U0010ffff \u0378",
    "\u00a0\u3000x\u200by\ufeff \u2028z\x00\x01\x7f",
    "<s>the</s> <unk> <mask> cat<sep>the",
    "the<sep> <mask>  cat<sep>sep> <s",
    "\u2581the\u2581\u2581cat \u2581",
    "<0x09><0xC3> \t É é",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    " " * 70,
    "...!!!??? -- (a) [b] {c} \"d\" 'e'",
    "zqj ÿ ŋ Ѫ ⠿ ꙮ",
    "The THE tHe CAT Σίσυφος İstanbul",
]


def byte_level(**settings):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True, **settings}


def split(pattern, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}


def sequence(*members):
    return {"type": "Sequence", "pretokenizers": list(members)}


def added(*tokens):
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return [{**plain, **token} for token in tokens]


def trained(model, trainer, pre_tokenizer=None):
    """The JSON of a trained tokenizer."""
    tokenizer = Tokenizer(model)
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(CORPUS, trainer)
    return json.loads(tokenizer.to_str())


def bytes_bpe():
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=420, initial_alphabet=alphabet, show_progress=False)
    tokenizer = trained(models.BPE(), trainer, pre_tokenizers.ByteLevel(add_prefix_space=False))
    size = len(tokenizer["model"]["vocab"])
    tokenizer["added_tokens"] = added(*({"id": size + i, "content": text} for i, text in enumerate(["<s>", "</s>", "<sep>"])))
    return tokenizer


def characters_bpe():
    """A BPE of characters whose unknown characters become bytes, as Llama 2's and Gemma's."""
    specials = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=520, special_tokens=specials, limit_alphabet=80, show_progress=False)
    metaspace = pre_tokenizers.Metaspace(prepend_scheme="never", split=True)
    tokenizer = trained(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True), trainer, metaspace)
    tokenizer["added_tokens"] = tokenizer["added_tokens"][:3]
    tokenizer["pre_tokenizer"] = None
    return tokenizer


def without(tokenizer, *tokens):
    """Removes tokens from the vocabulary, their merges with them, and closes the gaps in the ids."""
    model = tokenizer["model"]
    gone = set(tokens)
    model["merges"] = [m for m in model["merges"] if not gone & {m[0], m[1], m[0] + m[1]}]
    kept = sorted((i, t) for t, i in model["vocab"].items() if t not in gone)
    model["vocab"] = {t: i for i, (_, t) in enumerate(kept)}
    outside = len(model["vocab"])
    for token in tokenizer["added_tokens"]:
        token["id"] = model["vocab"].get(token["content"], outside)
        outside += token["content"] not in model["vocab"]
    return tokenizer


def json_kinds():
    base, characters = bytes_bpe(), characters_bpe()
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    prepend = {"type": "Prepend", "prepend": "\u2581"}

    def of(tokenizer, model=None, **parts):
        tokenizer = copy.deepcopy(tokenizer)
        tokenizer.update(parts)
        tokenizer["model"].update(model or {})
        return tokenizer

    size = len(base["model"]["vocab"])
    yield "gpt2", of(base)
    yield "prefix-space", of(base, pre_tokenizer=byte_level(add_prefix_space=True))
    digits = split(r"\p{N}{1,3}")
    yield "own-splits", of(base, pre_tokenizer=sequence(digits, split(r"\s+"), byte_level(use_regex=False)))
    yield "split-digits", of(base, pre_tokenizer=sequence(digits, byte_level(use_regex=False)))
    yield "split-removed", of(base, pre_tokenizer=sequence(split(r"\s+", "Removed"), byte_level(use_regex=False)))
    yield "split-inverted", of(base, pre_tokenizer=sequence(split(r"\w+|[^\w\s]+", "Removed", True), byte_level(use_regex=False)))
    lines = sequence(split(r"^\w+|\w+$|\W", "Isolated"), byte_level(use_regex=False))
    yield "split-lines", of(base, pre_tokenizer=lines)
    yield "split-merged", of(base, pre_tokenizer=sequence(split(r"\s", "MergedWithNext"), byte_level(use_regex=False)))
    yield "own-digits", of(base, pre_tokenizer=sequence({"type": "Digits", "individual_digits": True}, byte_level()))
    bloom = sequence(split(r" ?[^(\s|[.,!?…。，、।۔،])]+"), byte_level(use_regex=False))
    yield "bloom", of(base, pre_tokenizer=bloom)
    yield "bytes-missing", without(of(base, pre_tokenizer=bloom), "ø", "ġ", "Ģ", "Ń", "ľ")
    unknown = {"unk_token": "<unk>", "vocab": {**base["model"]["vocab"], "<unk>": size}}
    yield "bytes-missing-unknown", without(of(base, unknown, added_tokens=[]), "ø", "ġ", "Ģ")
    yield "nfc", of(base, normalizer={"type": "NFC"})
    yield "nfkc-lowercase", of(base, normalizer={"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}]})
    yield "merges-as-text", of(base, {"merges": [" ".join(merge) for merge in base["model"]["merges"]]})
    yield "ignore-merges", of(base, {"ignore_merges": True})
    yield "cut-and-padded", of(
        base,
        truncation={"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
        padding={"strategy": {"Fixed": 32}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "<s>"},
    )
    yield "added-rules", of(
        base,
        normalizer={"type": "Lowercase"},
        added_tokens=added(
            {"id": size, "content": "<s>", "lstrip": True},
            {"id": size + 1, "content": "<sep>", "rstrip": True},
            {"id": size + 2, "content": "CAT", "normalized": True, "special": False},
            {"id": size + 3, "content": "the", "single_word": True},
            {"id": size + 4, "content": "<mask>", "lstrip": True, "rstrip": True},
        ),
    )
    yield "added-with-gaps", of(base, added_tokens=added({"id": size + 7, "content": "<s>"}, {"id": size + 3, "content": "<sep>"}))
    yield "byte-fallback", of(characters, normalizer={"type": "Sequence", "normalizers": [prepend, replace]})
    yield "tab-without-byte", without(of(with_character(characters, "\t"), normalizer=replace), "<0x09>")
    yield "byte-without-token", without(of(characters, normalizer=replace), "<0xC3>", "<0x09>")
    yield "no-fallback", of(characters, {"byte_fallback": False}, normalizer=replace)
    yield "no-fallback-no-fuse", of(characters, {"byte_fallback": False, "fuse_unk": False}, normalizer=replace)
    yield "nothing-unknown", of(characters, {"byte_fallback": False, "unk_token": None}, normalizer=replace)
    spaces = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
    yield "split-at-text", of(characters, normalizer=replace, pre_tokenizer=spaces)
    for scheme in ("always", "first", "never"):
        for cut in (False, True):
            metaspace = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": cut}
            yield f"metaspace-{scheme}-{'split' if cut else 'whole'}", of(characters, pre_tokenizer=metaspace)

    trainer = trainers.WordPieceTrainer(vocab_size=400, special_tokens=["[UNK]", "<s>", "</s>"], show_progress=False)
    wordpiece = trained(models.WordPiece(unk_token="[UNK]"), trainer, pre_tokenizers.BertPreTokenizer())
    bert = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}
    yield "wordpiece", of(wordpiece, normalizer=bert)

    trainer = trainers.UnigramTrainer(vocab_size=400, special_tokens=["<unk>", "<s>", "</s>"], unk_token="<unk>", show_progress=False)
    unigram = trained(models.Unigram(), trainer, pre_tokenizers.Metaspace())
    yield "unigram", of(unigram)
    vocab = unigram["model"]["vocab"] + [[f"<0x{byte:02X}>", 0.0] for byte in range(256)]
    yield "unigram-byte-fallback", of(unigram, {"byte_fallback": True, "vocab": vocab})

    trainer = trainers.WordLevelTrainer(vocab_size=200, special_tokens=["<unk>", "<s>"], show_progress=False)
    yield "wordlevel", trained(models.WordLevel(unk_token="<unk>"), trainer, pre_tokenizers.Whitespace())

    trainer = trainers.BpeTrainer(vocab_size=400, end_of_word_suffix="</w>", special_tokens=["<unk>"], show_progress=False)
    suffix = trained(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"), trainer, pre_tokenizers.Whitespace())
    yield "end-of-word", of(suffix, normalizer={"type": "Lowercase"})
    trainer = trainers.BpeTrainer(vocab_size=400, continuing_subword_prefix="##", special_tokens=["<unk>"], show_progress=False)
    yield "subword-prefix", trained(models.BPE(unk_token="<unk>", continuing_subword_prefix="##"), trainer, pre_tokenizers.Whitespace())


def with_character(tokenizer, character):
    tokenizer = copy.deepcopy(tokenizer)
    vocab = tokenizer["model"]["vocab"]
    vocab[character] = len(vocab)
    return tokenizer


def sentencepiece_kinds():
    kinds = {
        "unigram": {"normalization_rule_name": "identity"},
        "unigram-nmt-nfkc": {},
        "unigram-bytes": {"normalization_rule_name": "identity", "byte_fallback": True, "remove_extra_whitespaces": False},
        "unigram-suffix": {"normalization_rule_name": "identity", "treat_whitespace_as_suffix": True},
        "unigram-symbols": {"normalization_rule_name": "identity", "user_defined_symbols": ["<sep>", "the cat", "世界", "at"]},
        "bpe": {"model_type": "bpe", "normalization_rule_name": "identity"},
        "bpe-bytes": {
            "model_type": "bpe",
            "normalization_rule_name": "identity",
            "byte_fallback": True,
            "remove_extra_whitespaces": False,
            "split_digits": True,
            "allow_whitespace_only_pieces": True,
        },
        "bpe-symbols": {
            "model_type": "bpe",
            "normalization_rule_name": "identity",
            "byte_fallback": True,
            "add_dummy_prefix": False,
            "user_defined_symbols": ["<sep>", "the", "  "],
        },
    }
    for name, settings in kinds.items():
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(line for text in CORPUS for line in text.split("\n")),
            model_writer=model,
            vocab_size=520,
            hard_vocab_limit=False,
            character_coverage=0.98,
            minloglevel=2,
            **settings,
        )
        yield name, model.getvalue()


def tekken_kinds():
    base = bytes_bpe()["model"]
    merged = sorted(base["vocab"].items(), key=lambda entry: entry[1])
    from_letters = {letter: byte for byte, letter in bytes_to_letters().items()}
    tokens = [bytes([byte]) for byte in range(256)]
    tokens += [token for token in (bytes(from_letters[letter] for letter in text) for text, _ in merged) if len(token) > 1]
    pattern = (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
        r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    for name, pattern in (("tekken", pattern), ("tekken-own-pattern", r"\w+| ?[^\w\s]+|\s+(?!\S)|\s")):
        yield name, {
            "config": {
                "pattern": pattern,
                "num_vocab_tokens": len(tokens),
                "default_vocab_size": len(tokens) - 10 + 30,
                "default_num_special_tokens": 30,
                "version": "v3",
            },
            "vocab": [
                {"rank": rank, "token_bytes": base64.b64encode(token).decode(), "token_str": None}
                for rank, token in enumerate(tokens)
            ],
        }


def bytes_to_letters():
    """GPT-2's letters for bytes."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {**{byte: chr(byte) for byte in shown}, **{byte: chr(256 + i) for i, byte in enumerate(hidden)}}


def main():
    os.makedirs(DATA, exist_ok=True)
    ids = {"texts": TEXTS, "ids": {}}
    for name, content in json_kinds():
        file = f"{name}.json"
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        tokenizer = Tokenizer.from_str(text)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        write_gzip(os.path.join(DATA, f"{file}.gz"), text)
        ids["ids"][file] = [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]
    for name, model in sentencepiece_kinds():
        file = f"{name}.model"
        write_gzip(os.path.join(DATA, f"{file}.gz"), model)
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        plain = [text for text in TEXTS if not any(token in text for token in ("<s>", "</s>", "<unk>"))]
        ids["ids"][file] = [processor.encode(text) if text in plain else None for text in TEXTS]
    for name, content in tekken_kinds():
        file = f"{name}.json"
        text = json.dumps(content)
        with tempfile.NamedTemporaryFile("w", suffix=".json") as place:
            place.write(text)
            place.flush()
            tokenizer = Tekkenizer.from_file(place.name)
        write_gzip(os.path.join(DATA, f"{file}.gz"), text)
        plain = [text for text in TEXTS if not any(token in text for token in ("<s>", "</s>", "<unk>"))]
        ids["ids"][file] = [tokenizer.encode(text, bos=False, eos=False) if text in plain else None for text in TEXTS]
    write_gzip(os.path.join(DATA, "ids.json.gz"), json.dumps(ids, ensure_ascii=False, separators=(",", ":")))


if __name__ == "__main__":
    main()
