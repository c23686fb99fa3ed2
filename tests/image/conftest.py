"""What several tests of the image's behaviour share."""

import pytest

from certificates import EC, PASSWORD, RSA, Certificates


@pytest.fixture
def certificates(tmp_path):
    """Certificates of this test's own."""
    return Certificates(tmp_path)


@pytest.fixture(scope="session")
def pem(tmp_path_factory):
    """Certificates that stay as they are."""
    made = Certificates(tmp_path_factory.mktemp("tls"))
    made.issue("server", EC)
    made.issue("rsa", RSA)
    made.issue("chain", RSA, intermediate=True)
    made.issue("encrypted", EC, password=PASSWORD)
    made.issue("other", EC)
    made.write("password", f"{PASSWORD}\n".encode())
    return made
