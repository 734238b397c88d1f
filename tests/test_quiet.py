import subprocess
import sys

from keras_unet.quiet import held_back_stderr


def test_stderr_is_held_back_unless_the_block_fails():
    code = (
        "import os\n"
        "from keras_unet.quiet import held_back_stderr\n"
        "with held_back_stderr(): os.write(2, b'chatter')\n"
        "with held_back_stderr(): os.write(2, b'cause'); raise SystemExit(3)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (3, "cause")


def test_held_back_stderr_can_be_nested():
    with held_back_stderr(), held_back_stderr():
        pass


def test_threads_at_the_same_time_leave_stderr_as_it_was():
    code = (
        "import os, threading\n"
        "from keras_unet.quiet import held_back_stderr\n"
        "barrier = threading.Barrier(4)\n"
        "def hold():\n"
        "    barrier.wait()\n"
        "    with held_back_stderr(): os.write(2, b'chatter')\n"
        "threads = [threading.Thread(target=hold) for _ in range(4)]\n"
        "[thread.start() for thread in threads]\n"
        "[thread.join() for thread in threads]\n"
        "os.write(2, b'after')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == "after"
