/* A small picture made of letters. Only the plugins that draw include this. */
#ifndef CANVAS_H
#define CANVAS_H

#include "plugin.h"

enum { CANVAS_WIDTH = 64, CANVAS_HEIGHT = 13 };

struct canvas {
    char cell[CANVAS_HEIGHT][CANVAS_WIDTH];
};

/* From nothing to full. */
static const char CANVAS_SHADES[] = " .:-=+*#%@";

__attribute__((unused)) static void canvas_shade(struct canvas *canvas, int x, int y, double darkness)
{
    int last = (int)sizeof CANVAS_SHADES - 2;
    int shade = (int)(darkness * last + 0.5);
    canvas->cell[y][x] = CANVAS_SHADES[shade < 0 ? 0 : shade > last ? last : shade];
}

__attribute__((unused)) static void canvas_print(const struct canvas *canvas, struct page *page)
{
    for (int y = 0; y < CANVAS_HEIGHT; y++) {
        int end = CANVAS_WIDTH;
        while (end > 0 && canvas->cell[y][end - 1] == ' ')
            end--;
        put(page, "%.*s\n", end, canvas->cell[y]);
    }
}

#endif
