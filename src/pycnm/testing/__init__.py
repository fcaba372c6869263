"""For tests of programs that use pycnm, of drivers, and of pycnm itself.

A `FakeKernel` takes the place of this machine's, and needs no right:

    from pycnm.testing import FakeKernel

    def test_my_program(tmp_path):
        kernel = FakeKernel()
        with pycnm.Controller(tmp_path, kernel=kernel) as cnm:
            cnm.create_network("blue", subnet="10.9.0.0/24")
        assert "address 10.9.0.1/24" in kernel.listing()

A `FailingKernel` fails at the step one asks for, so that taking back is tested.
"""

from pycnm.testing.failing import FailingKernel
from pycnm.testing.kernel import FakeKernel

__all__ = ["FailingKernel", "FakeKernel"]
