"""What the ``rocm`` sdist is made of: its setup.py, its README and the package ``rocm_sdk``.

Everything here runs on the machine of whoever installs it: standard library only, Python 3.9 or
newer. It never imports the rest of this project; the project imports from it what both must agree
on.
"""
