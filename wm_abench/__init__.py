"""WM-ABench: whether vision-language models hold a model of the world."""

import sys

# TensorFlow lays its symbols open to every library that is loaded later; among
# them is its own LLVM, with which Mesa's OpenGL and Mitsuba crash. Where it
# does not find this module, it keeps them to itself.
sys.modules.setdefault('tensorflow.python.pywrap_dlopen_global_flags', None)
