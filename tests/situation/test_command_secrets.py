"""Secrets in command lines: masked where they are decoded, and only there where they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from situation.command_secrets import without_secrets
from situation.pods import Pod
from tests.build import made, pod

SECRET = "s3cr3t-value"


@pytest.mark.parametrize(
    "words",
    [
        ("--api-key", SECRET),
        ("--api-key", "other", SECRET, "--port", "8000"),
        (f"--api-key={SECRET}",),
        (f"--api_key={SECRET}",),
        ("--apikey", SECRET),
        ("--hf-token", SECRET),
        ("--ssl-keyfile-password", SECRET),
        (f"vllm serve m --api-key {SECRET} --port 8000",),
        (f"vllm serve m --api-key first {SECRET} --port 8000",),
        (f"vllm serve m --api-key '{SECRET} x'",),
        (f"export HF_TOKEN={SECRET} && vllm serve m",),
        (f'VLLM_API_KEY="{SECRET} x" vllm serve m',),
        (f"-H Authorization: Bearer {SECRET}",),
        ("--config", f'{{"api_key": "{SECRET}", "port": 1}}'),
        (f"--endpoint=https://user:{SECRET}@host/x",),
        ("echo hf_abcdefghijk" + SECRET,),
    ],
)
def test_no_secret_is_kept(words: tuple[str, ...]) -> None:
    masked = " ".join(without_secrets(words))
    assert SECRET not in masked
    assert "***" in masked


@pytest.mark.parametrize(
    "words",
    [
        ("--max-num-batched-tokens", "8192"),
        ("--max-num-batched-tokens=8192", "--tokenizer-mode=auto", "--tokenizer", "x/y"),
        ("vllm serve m --max-num-batched-tokens 8192 --num-speculative-tokens=5",),
        ("vllm", "serve", "key-lime/model", "--port", "8000"),
        ("--model", "org/token-model"),
    ],
)
def test_what_is_no_secret_is_kept(words: tuple[str, ...]) -> None:
    assert without_secrets(words) == words


def test_a_pods_command_line_is_masked_where_it_is_decoded() -> None:
    container = {"image": "vllm/vllm-openai", "command": ["sh", "-c", f"vllm serve m --api-key {SECRET}"]}
    found = made(pod(container=container))
    assert isinstance(found, Pod)
    assert found.spec.containers[0].command == ("sh", "-c", "vllm serve m --api-key ***")


PIECES = st.sampled_from(
    ["--api-key", "--api-key=", "HF_TOKEN=", "a", "'", '"', " ", "=", "***", "--port", "bearer ", "://", "@", ":", "-",
     '{"token":', '"x"', "\n", "hf_abcdefghijkl", "&&"]
)  # fmt: skip
WORDS = st.lists(st.lists(PIECES, max_size=8).map("".join), max_size=6).map(tuple)


@given(WORDS)
def test_masking_what_is_masked_changes_nothing(words: tuple[str, ...]) -> None:
    once = without_secrets(words)
    assert without_secrets(once) == once
    assert len(once) == len(words)
