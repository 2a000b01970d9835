"""Weights named by an address, from a server on this machine."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import paddle
import pytest
from paddle import nn

from ppdet_db.engine import checkpoint, download
from ppdet_db.errors import CheckpointError


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv(download.FOLDER_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def server(tmp_path):
    """`server.url`, which gives `server.content` and counts in `server.asked`; `cut` bytes are kept back; `raw` is the
    whole answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            httpd.asked.append(self.path)
            if httpd.content is None:
                self.send_error(404)
                return
            if httpd.raw is not None:
                self.wfile.write(httpd.raw)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(httpd.content)))
            self.end_headers()
            self.wfile.write(httpd.content[: len(httpd.content) - httpd.cut])

        def log_message(self, *arguments):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.url = f"http://127.0.0.1:{httpd.server_port}/pretrained/x.pdparams"
    httpd.content, httpd.asked, httpd.cut, httpd.raw = b"weights", [], 0, None
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield httpd
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def test_fetched_once(cache, server):
    first, second = download.fetch(server.url), download.fetch(server.url)
    assert first == second == cache / f"127.0.0.1%3A{server.server_port}" / "pretrained" / "x.pdparams"
    assert first.read_bytes() == b"weights"
    assert server.asked == ["/pretrained/x.pdparams"]
    assert [path.name for path in first.parent.iterdir()] == ["x.pdparams"]


def test_weights_of_a_model(cache, server, tmp_path):
    source, model = nn.Linear(2, 2), nn.Linear(2, 2)
    paddle.save(source.state_dict(), str(tmp_path / "x.pdparams"))
    server.content = (tmp_path / "x.pdparams").read_bytes()
    report = checkpoint.load_weights(model, server.url, strict=False)
    assert str(report) == f"{download.cached_file(server.url)}: 2 of 2 arrays loaded"
    assert model.weight.tolist() == source.weight.tolist()


def refused(url: str) -> str:
    with pytest.raises(CheckpointError) as error:
        checkpoint.find(url)
    return str(error.value)


def test_missing_on_the_server(cache, server):
    server.content = None
    file = download.cached_file(server.url)
    assert refused(server.url) == (
        f"{server.url}: cannot be downloaded: Not Found. Fetch it by other means and put it at {file}, or give a file "
        "of this machine, or null to start without."
    )
    assert not file.exists()


def test_connection_that_breaks_leaves_nothing(cache, server):
    server.content, server.cut = b"x" * 100000, 1
    assert "cannot be downloaded: 99999 of 100000 bytes came." in refused(server.url)
    assert list(download.cached_file(server.url).parent.iterdir()) == []


@pytest.mark.parametrize(
    "raw",
    [b"no answer of a server\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100\r\nabc"],
    ids=["garbage", "a chunk that ends too early"],
)
def test_answer_that_is_none(cache, server, raw):
    server.raw = raw
    assert refused(server.url).startswith(f"{server.url}: cannot be downloaded: ")
    assert list(download.cached_file(server.url).parent.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:9/my model.pdparams", "cannot be downloaded: URL can't contain control characters"),
        (f"http://127.0.0.1:9/{'n' * 300}.pdparams", "cannot be downloaded: "),
        ("http://[::1/x.pdparams", "is no address: Invalid IPv6 URL"),
    ],
    ids=["space", "long name", "open bracket"],
)
def test_odd_address(cache, url, reason):
    assert refused(url).startswith(f"{url}: {reason}")


def test_offline(cache, server):
    url = server.url.replace(str(server.server_port), "9")  # the port of `discard`, where nothing listens
    message = refused(url)
    assert message.startswith(f"{url}: cannot be downloaded: ")
    assert f"put it at {cache}/127.0.0.1%3A9/pretrained/x.pdparams" in message


def test_a_file_put_there_by_hand_is_enough(cache):
    url = "https://example.invalid/pretrained/x.pdparams"
    file = download.cached_file(url)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"")
    assert checkpoint.find(url) == file


def test_what_follows_a_question_mark_is_no_part_of_the_suffix(cache, server):
    signed = [f"{server.url}?token={letter * 300}" for letter in "ab"]
    first, second = map(download.fetch, signed)
    assert [file.suffix for file in (first, second)] == [".pdparams"] * 2
    assert first != second, "two versions under one path are two files"
    assert first.parent == download.cached_file(server.url).parent
    assert server.asked == [f"/pretrained/x.pdparams?token={letter * 300}" for letter in "ab"]
    assert checkpoint.find(signed[0]) == first
    assert download.cached_file("https://a.b/get?file=x.pdparams").name == "get%3Ffile%3Dx.pdparams"


def test_an_archive_is_refused_before_it_is_fetched(cache, server):
    url = server.url.replace(".pdparams", ".tar")
    assert refused(url) == f"{url}: is no .pdparams file. Fetch and unpack it, and give the .pdparams file in it."
    assert server.asked == []


def test_cache_folder(tmp_path, monkeypatch):
    monkeypatch.delenv(download.FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    file = download.cached_file("https://a.b/c/d.pdparams")
    assert file == tmp_path / ".cache" / "ppdet_db" / "a.b" / "c" / "d.pdparams"
    for odd in ("https://a.b/../../../etc/d.pdparams", "https://a.b//etc/d.pdparams", "https://../d.pdparams"):
        assert download.cached_file(odd).resolve().is_relative_to(tmp_path.resolve() / ".cache" / "ppdet_db")
