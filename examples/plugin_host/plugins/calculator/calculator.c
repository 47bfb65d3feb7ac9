/* Evaluates one expression after the other, separated by semicolons. */
#include "../plugin.h"
#include "calculator.h"

#include <string.h>

static void evaluate(const char *text, struct page *page)
{
    const char *problem = NULL;
    struct lexer lexer = {.rest = text};
    lexer_next(&lexer);
    double result = parser_expression(&lexer, &problem);
    if (!problem && lexer.token.kind != END)
        problem = "something follows the expression";
    if (problem)
        put(page, "%s: %s\n", text, problem);
    else
        put(page, "%s = %.10g\n", text, result);
}

static void run(const char *input, struct page *page)
{
    char text[128];
    while (*input) {
        size_t length = strcspn(input, ";");
        size_t kept = length < sizeof text ? length : sizeof text - 1;
        memcpy(text, input, kept);
        text[kept] = '\0';
        evaluate(text, page);
        input += length;
        input += strspn(input, "; ");
    }
}

static const struct plugin plugin = {
    .abi = PLUGIN_ABI,
    .summary = "evaluates expressions (three source files)",
    .sample = "6 * 7; 2 ^ 10 - 1; (1 + 2) * (3 - 4) / 8; 2 * (3 + 4",
    .run = run,
};

const struct plugin *plugin_entry(void)
{
    return &plugin;
}
