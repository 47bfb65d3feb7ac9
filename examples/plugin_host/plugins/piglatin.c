/* Turns English into Pig Latin: apple-way, ilent-say. */
#include "plugin.h"

#include <ctype.h>
#include <string.h>

static int is_vowel(char letter)
{
    return strchr("aeiouAEIOU", letter) != NULL;
}

/* One word of letters: what stands before its first vowel goes to the end; a capital stays in front. */
static void word(const char *text, int length, struct page *page)
{
    int start = 0;
    while (start < length && !is_vowel(text[start]))
        start++;
    if (start == 0 || start == length) {
        put(page, "%.*sway", length, text);
        return;
    }
    int capital = isupper((unsigned char)text[0]);
    char first = capital ? (char)toupper((unsigned char)text[start]) : text[start];
    put(page, "%c%.*s", first, length - start - 1, text + start + 1);
    put(page, "%c%.*say", capital ? tolower((unsigned char)text[0]) : text[0], start - 1, text + 1);
}

static void run(const char *input, struct page *page)
{
    while (*input) {
        int length = 0;
        while (isalpha((unsigned char)input[length]))
            length++;
        if (length > 0) {
            word(input, length, page);
            input += length;
        } else {
            put(page, "%c", *input++);
        }
    }
    put(page, "\n");
}

static const struct plugin plugin = {
    .abi = PLUGIN_ABI,
    .summary = "speaks Pig Latin",
    .sample = "The compiler rests while every plugin starts at once.",
    .run = run,
};

const struct plugin *plugin_entry(void)
{
    return &plugin;
}
