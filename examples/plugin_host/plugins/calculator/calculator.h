/* What the three files of the calculator know of each other. */
#ifndef CALCULATOR_H
#define CALCULATOR_H

enum kind { END, NUMBER, PLUS, MINUS, TIMES, OVER, POWER, OPEN, CLOSE, UNKNOWN };

struct token {
    enum kind kind;
    double number;
};

struct lexer {
    const char *rest;
    struct token token;
};

/* lexer.c: steps to the next token. */
void lexer_next(struct lexer *lexer);

/* parser.c: the value of an expression, up to the first token that does not belong to it. */
double parser_expression(struct lexer *lexer, const char **problem);

#endif
