"""What holds for all tests."""

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell without job control has what runs in the background ignore Ctrl-C, and so would every
    # process that a test starts to interrupt it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
