/* Sums up a list of numbers, with a bar for each. */
#include "plugin.h"

#include <stdlib.h>

enum { NUMBERS_MAX = 256 };

static int ascending(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

/* Newton's method: saves linking the mathematics library for one root. */
static double root(double square)
{
    double guess = square > 1 ? square : 1;
    for (int round = 0; square > 0 && round < 64; round++)
        guess = (guess + square / guess) / 2;
    return square > 0 ? guess : 0;
}

static void bars(const double *number, int count, double least, double most, struct page *page)
{
    static const char *bar[] = {"\u2581", "\u2582", "\u2583", "\u2584", "\u2585", "\u2586", "\u2587", "\u2588"};
    for (int i = 0; i < count; i++)
        put(page, "%s", bar[most > least ? (int)((number[i] - least) / (most - least) * 7 + 0.5) : 0]);
    put(page, "\n");
}

static void run(const char *input, struct page *page)
{
    double number[NUMBERS_MAX], sorted[NUMBERS_MAX], sum = 0, squares = 0;
    int count = 0;
    for (char *end; count < NUMBERS_MAX; input = end) {
        double value = strtod(input, &end);
        if (end == input)
            break;
        number[count] = sorted[count] = value;
        sum += value;
        count++;
    }
    if (count == 0) {
        put(page, "no numbers\n");
        return;
    }
    double mean = sum / count;
    for (int i = 0; i < count; i++)
        squares += (number[i] - mean) * (number[i] - mean);
    qsort(sorted, (size_t)count, sizeof sorted[0], ascending);
    double median = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
    bars(number, count, sorted[0], sorted[count - 1], page);
    put(page, "%d numbers from %g to %g, mean %.3f, median %g, deviation %.3f\n", count, sorted[0],
        sorted[count - 1], mean, median, root(squares / count));
}

static const struct plugin plugin = {
    .abi = PLUGIN_ABI,
    .summary = "sums up a list of numbers",
    .sample = "3 1 4 1 5 9 2 6 5 3 5 8 9 7 9 3 2 3 8 4 6 2 6 4 3 3 8 3 2 7 9 5",
    .run = run,
};

const struct plugin *plugin_entry(void)
{
    return &plugin;
}
