C:/x.o: C:/x.c C:\y.h
.PHONY: all
# a comment \
