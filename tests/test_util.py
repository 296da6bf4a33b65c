"""URLs are not paths, and gzip is told by its first bytes."""

import gzip
import io
from pathlib import Path

import pytest

from o2v_jax import InputError
from o2v_jax.util import decompress, require_local


@pytest.mark.parametrize("url", ["s3://b/out", "gs://b", "https://h/x", "file:///tmp/x", "S3A://b"])
@pytest.mark.parametrize("kind", [str, Path])
def test_a_url_is_not_a_path(url, kind):
    shown = url if kind is str else url.replace("///", "//")
    with pytest.raises(InputError) as raised:
        require_local(kind(url))
    assert str(raised.value) == f"{shown} is a URL, but a path on this machine is expected"


@pytest.mark.parametrize("path", ["a/b", "/a", "C:/data", "a:b", "s3:", "-", "", "./s3://b"])
def test_a_path_is_a_path(path):
    require_local(path)


@pytest.mark.parametrize("content", [b"", b"a", b"plain text", b"\x1f"])
def test_decompresses_what_is_compressed(content):
    for data in (content, gzip.compress(content)):
        assert decompress(io.BufferedReader(io.BytesIO(data))).read() == content
