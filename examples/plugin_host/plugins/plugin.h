/* What every plugin of this host is: one exported function that returns a description of it. */
#ifndef PLUGIN_H
#define PLUGIN_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Goes up with every change to what follows; the host refuses another number. */
#define PLUGIN_ABI 1u

#define PLUGIN_EXPORT __attribute__((visibility("default")))

/* Where a plugin writes its text. What does not fit is cut off. */
struct page {
    char *text;
    size_t room;
    size_t used;
};

struct plugin {
    uint32_t abi;
    /* One line for people. */
    const char *summary;
    /* The input the host passes to `run`. */
    const char *sample;
    /* The initialiser; may be NULL. Not 0: the plugin cannot work, and the page says why. */
    int (*start)(struct page *why);
    void (*run)(const char *input, struct page *page);
};

/* The only symbol that the host looks for. */
PLUGIN_EXPORT const struct plugin *plugin_entry(void);

__attribute__((format(printf, 2, 3), unused)) static void put(struct page *page, const char *format, ...)
{
    size_t left = page->room - page->used;
    va_list values;
    va_start(values, format);
    int length = vsnprintf(page->text + page->used, left, format, values);
    va_end(values);
    if (length > 0 && left > 0)
        page->used += (size_t)length < left ? (size_t)length : left - 1;
}

#endif
