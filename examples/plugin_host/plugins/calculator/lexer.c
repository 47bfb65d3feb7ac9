/* Cuts text into tokens. */
#include "calculator.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

void lexer_next(struct lexer *lexer)
{
    static const char signs[] = "+-*/^()";
    static const enum kind kinds[] = {PLUS, MINUS, TIMES, OVER, POWER, OPEN, CLOSE};
    while (isspace((unsigned char)*lexer->rest))
        lexer->rest++;
    const char *sign = *lexer->rest ? strchr(signs, *lexer->rest) : NULL;
    if (*lexer->rest == '\0') {
        lexer->token.kind = END;
    } else if (sign) {
        lexer->token.kind = kinds[sign - signs];
        lexer->rest++;
    } else {
        char *end;
        lexer->token.number = strtod(lexer->rest, &end);
        lexer->token.kind = end == lexer->rest ? UNKNOWN : NUMBER;
        lexer->rest = end;
    }
}
