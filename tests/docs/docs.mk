# SPDX-License-Identifier: MIT
# The pictures of the documents, of the texts beside them (with Graphviz); included by the Makefile.
.PHONY: diagrams
diagrams:
	docs/diagrams/draw.py
