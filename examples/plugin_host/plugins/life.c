/* Plays Conway's game of life on a board without edges. */
#include "canvas.h"

#include <string.h>

typedef unsigned char board[CANVAS_HEIGHT][CANVAS_WIDTH];

static int neighbours(const board now, int x, int y)
{
    int count = 0;
    for (int dy = CANVAS_HEIGHT - 1; dy <= CANVAS_HEIGHT + 1; dy++)
        for (int dx = CANVAS_WIDTH - 1; dx <= CANVAS_WIDTH + 1; dx++)
            count += now[(y + dy) % CANVAS_HEIGHT][(x + dx) % CANVAS_WIDTH];
    return count - now[y][x];
}

static void step(board now)
{
    board next;
    for (int y = 0; y < CANVAS_HEIGHT; y++)
        for (int x = 0; x < CANVAS_WIDTH; x++) {
            int count = neighbours((const unsigned char(*)[CANVAS_WIDTH])now, x, y);
            next[y][x] = count == 3 || (count == 2 && now[y][x]);
        }
    memcpy(now, next, sizeof next);
}

/* Three gliders and an R-pentomino, which takes a thousand generations to settle on an endless board. */
static void seed(board now)
{
    static const char *glider[] = {".#.", "..#", "###"};
    static const char *pentomino[] = {".##", "##.", ".#."};
    memset(now, 0, sizeof(board));
    for (int y = 0; y < 3; y++)
        for (int x = 0; x < 3; x++) {
            for (int copy = 0; copy < 3; copy++)
                now[1 + y + copy][2 + x + 8 * copy] = glider[y][x] == '#';
            now[5 + y][40 + x] = pentomino[y][x] == '#';
        }
}

static void run(const char *input, struct page *page)
{
    int generations = 0, alive = 0;
    struct canvas canvas;
    board now;
    sscanf(input, "%d", &generations);
    seed(now);
    for (int generation = 0; generation < generations; generation++)
        step(now);
    for (int y = 0; y < CANVAS_HEIGHT; y++)
        for (int x = 0; x < CANVAS_WIDTH; x++) {
            canvas_shade(&canvas, x, y, now[y][x]);
            alive += now[y][x];
        }
    canvas_print(&canvas, page);
    put(page, "%d alive after %d generations\n", alive, generations);
}

static const struct plugin plugin = {
    .abi = PLUGIN_ABI,
    .summary = "plays the game of life",
    .sample = "40",
    .run = run,
};

const struct plugin *plugin_entry(void)
{
    return &plugin;
}
