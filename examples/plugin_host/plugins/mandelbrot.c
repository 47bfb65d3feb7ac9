/* Draws the Mandelbrot set. */
#include "canvas.h"

enum { ROUNDS = 200 };

/* How many rounds it takes z = z * z + c to run away, as a share of all rounds. */
static double stays(double re, double im)
{
    double x = 0, y = 0;
    for (int round = 0; round < ROUNDS; round++) {
        double next = x * x - y * y + re;
        y = 2 * x * y + im;
        x = next;
        if (x * x + y * y > 4)
            return (double)round / ROUNDS;
    }
    return 1;
}

static void run(const char *input, struct page *page)
{
    double left = -2.2, right = 0.8, top = 1.15;
    struct canvas canvas;
    sscanf(input, "%lf %lf %lf", &left, &right, &top);
    for (int y = 0; y < CANVAS_HEIGHT; y++)
        for (int x = 0; x < CANVAS_WIDTH; x++) {
            double re = left + (right - left) * x / (CANVAS_WIDTH - 1);
            double im = top - 2 * top * y / (CANVAS_HEIGHT - 1);
            double share = stays(re, im);
            canvas_shade(&canvas, x, y, share == 1 ? 1 : share * 12);
        }
    canvas_print(&canvas, page);
}

static const struct plugin plugin = {
    .abi = PLUGIN_ABI,
    .summary = "draws the Mandelbrot set",
    .sample = "-2.2 0.8 1.15",
    .run = run,
};

const struct plugin *plugin_entry(void)
{
    return &plugin;
}
