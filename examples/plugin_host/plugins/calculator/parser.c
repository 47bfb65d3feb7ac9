/* Evaluates by recursive descent: sums of products of powers of numbers and brackets. */
#include "calculator.h"

static double value(struct lexer *lexer, const char **problem)
{
    struct token token = lexer->token;
    lexer_next(lexer);
    switch (token.kind) {
    case NUMBER:
        return token.number;
    case MINUS:
        return -value(lexer, problem);
    case OPEN: {
        double inside = parser_expression(lexer, problem);
        if (lexer->token.kind != CLOSE)
            *problem = "a bracket is never closed";
        lexer_next(lexer);
        return inside;
    }
    default:
        *problem = "a number is missing";
        return 0;
    }
}

static double power(struct lexer *lexer, const char **problem)
{
    double base = value(lexer, problem), result = 1;
    if (lexer->token.kind != POWER)
        return base;
    lexer_next(lexer);
    double exponent = power(lexer, problem);
    if (exponent < 0 || exponent > 1000 || exponent != (int)exponent) {
        *problem = "only whole powers from 0 to 1000";
        return 0;
    }
    for (int i = 0; i < (int)exponent; i++)
        result *= base;
    return result;
}

static double product(struct lexer *lexer, const char **problem)
{
    double result = power(lexer, problem);
    for (;;) {
        enum kind kind = lexer->token.kind;
        if (kind != TIMES && kind != OVER)
            return result;
        lexer_next(lexer);
        double next = power(lexer, problem);
        result = kind == TIMES ? result * next : result / next;
    }
}

double parser_expression(struct lexer *lexer, const char **problem)
{
    double result = product(lexer, problem);
    for (;;) {
        enum kind kind = lexer->token.kind;
        if (kind != PLUS && kind != MINUS)
            return result;
        lexer_next(lexer);
        double next = product(lexer, problem);
        result = kind == PLUS ? result + next : result - next;
    }
}
