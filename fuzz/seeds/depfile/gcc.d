out.o: a.c \
  b\ c.h d\#e.h $$f.h

a.c:
b\ c.h:
