"""Films and pictures that say that they are synthetic, and what reads it again."""

import datetime
import io
import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from motion_jax import __version__, puppet
from motion_jax.cli import main
from motion_jax.errors import UserError
from motion_jax.provenance import manifest, xmp
from motion_jax.provenance.options import CERTIFICATE, KEY, Provenance
from motion_jax.provenance.writer import MARK, number_of
from motion_jax.serve.pictures import FORMATS, encoded
from motion_jax.transfer.film import COMPOSITE, SYNTHETIC, Film, synthetic_tags
from motion_jax.video.reader import read_frames

SIZE = 128
TAGS = synthetic_tags("ben", 'Made of <"odd"> & \x01 names.', Path("ada.mp4"), run="r", step="7")


@pytest.fixture(scope="module")
def frames():
    return puppet.draw(puppet.CHARACTERS["ben"], puppet.dance(6, 25, 1), SIZE, SIZE)


def write(path: Path, frames: np.ndarray, provenance: Provenance, tags: dict = TAGS) -> Path:
    with Film(path, tags, provenance=provenance, crf=10) as film:
        for i, frame in enumerate(frames):
            film.add(frame, i / 25)
    return path


@pytest.fixture(scope="module")
def film(frames, tmp_path_factory):
    return write(tmp_path_factory.mktemp("film") / "film.mp4", frames, Provenance())


def checked(path: Path, capsys, *more: str) -> tuple[int, dict]:
    capsys.readouterr()
    status = 0
    try:
        main(["check", str(path), "--json", *more])
    except SystemExit as error:
        status = error.code
    return status, json.loads(capsys.readouterr().out)


def test_a_film_says_it_three_times(film, capsys):
    status, found = checked(film, capsys)
    number = f"{number_of(TAGS):06x}"
    assert status == 0 and found["synthetic"]
    assert found["metadata"]["digital_source_type"] == SYNTHETIC
    assert found["metadata"]["motion_jax_run"] == "r"
    assert found["metadata"]["motion_jax_version"] == __version__
    assert found["metadata"][MARK] == number
    assert found["mark"]["found"] and found["mark"]["number"] == number
    main(["check", str(film)])
    assert f"number {number}, as the metadata says" in capsys.readouterr().out


def test_others_read_the_xmp(film):
    """FFmpeg, here; the box lies at the end, so that nothing has moved."""
    with av.open(str(film), options={"export_xmp": "1"}) as container:
        packet = container.metadata["xmp"]
        assert container.streams.video[0].frames == 6
    assert SYNTHETIC in packet and "&lt;&quot;odd&quot;&gt;" not in packet
    from xml.etree import ElementTree

    ElementTree.fromstring(packet)
    assert xmp.values(packet.encode())["motion_jax_step"] == "7"


def test_without_the_mark_only_words_are_left(frames, film, tmp_path, capsys):
    plain = write(tmp_path / "plain.mp4", frames, Provenance(mark=False))
    status, found = checked(plain, capsys)
    assert status == 0 and found["synthetic"] and not found["mark"]["found"]
    assert MARK not in found["metadata"]
    pictures = [np.stack([f.image for f in read_frames(path)]) for path in (plain, film)]
    near = np.abs(pictures[0].astype(int) - frames).mean()
    assert near < 0.9 * np.abs(pictures[1].astype(int) - frames).mean()


def test_copied_without_its_words_the_mark_is_left(film, tmp_path, capsys):
    from motion_jax.video.writer import VideoWriter

    path = tmp_path / "copy.mp4"
    with VideoWriter(path, SIZE, SIZE, crf=12) as writer:
        for frame in read_frames(film):
            writer.write(frame.image, frame.time)
    status, found = checked(path, capsys)
    assert status == 0 and not found["metadata"] and found["mark"]["found"]


def test_of_a_film_by_nobody_nothing_is_said(frames, tmp_path, capsys):
    path = tmp_path / "real.png"
    Image.fromarray(frames[0]).save(path)
    status, found = checked(path, capsys)
    assert status == 1 and not found["synthetic"] and not found["metadata"]


def test_transparent_films_carry_it_too(frames, tmp_path, capsys):
    alpha = np.full((*frames.shape[:3], 1), 255, np.uint8)
    tags = TAGS | {"digital_source_type": COMPOSITE}
    path = write(tmp_path / "film.mov", np.concatenate([frames, alpha], -1), Provenance(), tags)
    _, found = checked(path, capsys)
    assert found["mark"]["found"] and found["metadata"]["digital_source_type"] == COMPOSITE


def test_small_pictures_carry_no_mark(tmp_path):
    path = write(tmp_path / "small.mp4", np.full((3, 32, 32, 3), 90, np.uint8), Provenance())
    with av.open(str(path)) as container:
        assert MARK not in container.metadata
        assert container.metadata["motion_jax_synthetic"] == "true"


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("channels", [3, 4])
def test_served_pictures_say_it_and_stay_the_same(frames, form, channels):
    picture = np.dstack([frames[0], np.arange(SIZE * SIZE).reshape(SIZE, SIZE) % 256])
    picture = picture.astype(np.uint8)[..., :channels]
    data = encoded(picture, form, 95)
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        found = image.info.get("xmp") or image.info["XML:com.adobe.xmp"]
        shown = np.asarray(image)
    found = found.encode() if isinstance(found, str) else found
    assert xmp.values(found)["digital_source_type"] == SYNTHETIC
    assert xmp.values(found)["motion_jax_synthetic"] == "true"
    if form == "png":
        np.testing.assert_array_equal(shown, picture)
    else:
        assert shown.shape[2] == (3 if form == "jpeg" else channels)
        assert np.abs(shown[..., :3].astype(int) - picture[..., :3]).mean() < 6


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere.mp4"], "no file nowhere.mp4"),
        (["FILM", "--seconds", "0"], "--seconds 0 from --start 0"),
        (["FILM", "--start", "9"], "before --start 9"),
    ],
)
def test_bad_input(arguments, sentence, film, capsys):
    with pytest.raises(SystemExit) as error:
        main(["check", *(str(film) if word == "FILM" else word for word in arguments)])
    assert error.value.code == 2 and sentence in capsys.readouterr().err


# --- signed -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def identity(tmp_path_factory):
    """(key, certificate) of somebody whom an authority of ours vouches for."""
    pytest.importorskip("c2pa", reason="c2pa-python is not installed (extra c2pa)")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def name(common: str) -> x509.Name:
        parts = ((NameOID.COMMON_NAME, common), (NameOID.ORGANIZATION_NAME, "Ada's films"))
        return x509.Name([x509.NameAttribute(kind, value) for kind, value in parts])

    def certified(subject: str, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey):
        authority = key is by
        today = datetime.datetime.now(datetime.UTC)
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "crl_sign", "encipher_only", "decipher_only"),
            False,
        )  # fmt: skip
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name("Authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(today - datetime.timedelta(days=1))
            .not_valid_after(today + datetime.timedelta(days=9))
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
            .add_extension(
                x509.KeyUsage(digital_signature=not authority, key_cert_sign=authority, **usage),
                critical=True,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), False
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        )
        if not authority:
            purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
            builder = builder.add_extension(purpose, critical=False)
        return builder.sign(by, hashes.SHA256())

    above, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    chain = [certified("Ada", own, above), certified("Authority", above, above)]
    folder = tmp_path_factory.mktemp("identity")
    key, certificate = folder / "key.pem", folder / "chain.pem"
    key.write_bytes(
        own.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    pem = serialization.Encoding.PEM
    certificate.write_bytes(b"".join(one.public_bytes(pem) for one in chain))
    return key, certificate


def test_a_signed_film_is_verified_and_a_changed_one_is_not(frames, identity, tmp_path, capsys):
    path = write(tmp_path / "signed.mp4", frames, Provenance(False, *identity))
    status, found = checked(path, capsys)
    signed = found["c2pa"]
    assert status == 0 and signed["state"] == "Valid", signed
    assert signed["sources"] == [SYNTHETIC] and signed["generator"].startswith("motion_jax")
    # Nobody on a list of trusted people has signed it, and that is said.
    assert signed["problems"] == ["signingCredential.untrusted"]
    assert len(list(read_frames(path))) == 6 and [p.name for p in tmp_path.iterdir()] == [path.name]
    data = bytearray(path.read_bytes())
    place = data.index(b"mdat") + 40
    data[place] ^= 1
    path.write_bytes(data)
    assert manifest.read(path)["state"] == "Invalid"


def test_the_environment_may_name_the_key(identity, monkeypatch):
    monkeypatch.setenv(KEY, str(identity[0]))
    monkeypatch.setenv(CERTIFICATE, str(identity[1]))
    assert Provenance.of() == Provenance(True, *identity)
    assert Provenance.of(True, Path("a"), Path("b")) == Provenance(True, Path("a"), Path("b"))


def test_keys_that_cannot_sign_are_one_sentence(identity, tmp_path):
    key, certificate = identity
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("no key")
    for arguments, sentence in (
        ((key, None), "give sign_cert too"),
        ((None, certificate), "give sign_key too"),
        ((tmp_path / "none", certificate), "There is no file"),
        ((nonsense, certificate), "no private key"),
        ((key, nonsense), "cannot sign"),
    ):
        with pytest.raises(UserError, match=sentence):
            manifest.Signer(*arguments)


def test_without_the_package_it_is_said_what_to_install(film, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(manifest, "library", lambda: None)
    with pytest.raises(UserError, match=r"motion-jax\[c2pa\]"):
        manifest.Signer(film, film)
    main(["check", str(film)])
    assert "C2PA: not looked at" in capsys.readouterr().out


def test_any_picture_can_be_declared(frames):
    """What training's samples and the sheets of StyleGAN2 carry."""
    data = io.BytesIO()
    Image.fromarray(frames[0]).save(data, "PNG")
    with Image.open(io.BytesIO(xmp.declared(data.getvalue()))) as image:
        np.testing.assert_array_equal(np.asarray(image), frames[0])
        found = image.info["XML:com.adobe.xmp"]
    assert xmp.values(found.encode())["digital_source_type"] == SYNTHETIC
    with pytest.raises(ValueError, match="no PNG"):
        xmp.declared(b"GIF89a")
