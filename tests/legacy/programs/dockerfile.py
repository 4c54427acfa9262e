"""Where the file for images of Docker is.

Prints:

    data Dockerfile True
"""

import os

import asyncoro

if __name__ == "__main__":
    path = os.path.join(os.path.dirname(asyncoro.__file__), "data", "Dockerfile")
    print("%s %s %s" % (os.path.basename(os.path.dirname(path)), os.path.basename(path), os.path.isfile(path)))
