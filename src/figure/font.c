/* font.c - a single-stroke typeface drawn for lenslet, with widths near those of Helvetica so that
 * PNG and SVG break lines alike.
 *
 * A glyph is the path of a round pen, in 1/100 em, y upwards from the baseline (capitals 4..68,
 * small letters 4..48, tails to -17: centre lines, the pen adds half its width). The path language:
 *     M x y   lift the pen and start there        L x y   straight line
 *     h x y   quarter of an ellipse that leaves horizontally and arrives vertically
 *     v x y   the same, leaving vertically        C ...   cubic with two control points
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "figure/figure.h"

/* Pen widths. Helvetica's stems are 0.084 and 0.118 em; a little less suits round ends. */
#define PEN_REGULAR  7.6
#define PEN_BOLD     11.6
#define BOLD_ADVANCE 3 /* bold letters stand apart by what the pen gains */

/* Quarter ellipse as a cubic: 0.5523 is the circle; slightly squarer bowls look less mechanical. */
#define BOWL 0.58

enum { CURVE_STEPS = 8 }; /* a bowl of 20 px is then flat to 0.03 px */

typedef struct glyph {
    uint32_t code;
    int advance;
    const char *path;
} glyph;

#define FIRST 32
#define LAST  126

static const glyph ascii[LAST - FIRST + 1] = {
    { ' ', 28, "" },
    { '!', 28, "M14 68L14 25M14 5L14 6" },
    { '"', 35, "M11 68L11 50M24 68L24 50" },
    { '#', 58, "M24 66L16 6M44 66L36 6M9 46L52 46M6 26L50 26" },
    { '$', 56, "M45 53v28 65h11 51C11 34 46 41 46 21v28 7h9 20M28 75L28 -3" },
    { '%', 86, "M21 36h34 52v21 68h8 52v21 36M65 4h78 20v65 36h52 20v65 4M63 68L23 4" },
    { '&', 68, "M61 4L20 49C13 59 21 68 30 68C42 68 46 56 37 48C29 41 8 36 8 20C8 -1 46 -4 55 33" },
    { '\'', 20, "M10 68L10 50" },
    { '(', 33, "M24 73C6 50 6 8 24 -15" },
    { ')', 33, "M9 73C27 50 27 8 9 -15" },
    { '*', 40, "M20 68L20 44M9 62L31 50M31 62L9 50" },
    { '+', 58, "M29 53L29 15M10 34L48 34" },
    { ',', 28, "M14 5L10 -8" },
    { '-', 34, "M7 28L27 28" },
    { '.', 28, "M14 5L14 6" },
    { '/', 30, "M4 -3L26 71" },
    { '0', 56, "M28 4h46 28L46 44v28 68h10 44L10 28v28 4" },
    { '1', 56, "M14 55L31 68L31 4" },
    { '2', 56, "M11 51v28 68h45 51C45 35 14 24 10 4L46 4" },
    { '3', 56, "M11 54v27 68h44 52v24 37h46 21v27 4h9 18" },
    { '4', 56, "M38 4L38 68L8 22L49 22" },
    { '5', 56, "M43 68L16 68L12 36C16 42 22 45 29 45h46 25v27 4h9 17" },
    { '6', 56, "M44 58C42 64 37 68 30 68h10 34L10 26v28 4h46 25v28 45h10 25" },
    { '7', 56, "M10 68L46 68C36 50 26 30 22 4" },
    { '8', 56, "M28 38h44 53v28 68h12 53v28 38h46 21v28 4h10 21v28 38" },
    { '9', 56, "M12 14C14 8 19 4 26 4h46 38L46 46v28 68h10 47v28 27h46 47" },
    { ':', 28, "M14 5L14 6M14 43L14 44" },
    { ';', 28, "M14 5L10 -8M14 43L14 44" },
    { '<', 58, "M48 53L10 34L48 15" },
    { '=', 58, "M10 43L48 43M10 25L48 25" },
    { '>', 58, "M10 53L48 34L10 15" },
    { '?', 54, "M10 53v27 68h44 52C44 38 27 37 27 23M27 5L27 6" },
    { '@', 96,
      "M77 0C70 -7 60 -11 49 -11h8 29v49 68h88 36C88 14 66 12 66 26L70 48M67 31v49 48h32 29v47 12h67 31" },
    { 'A', 66, "M6 4L33 68L60 4M15 25L51 25" },
    { 'B', 66, "M11 4L11 68L36 68h54 53v36 38L11 38M36 38h58 21v37 4L11 4" },
    { 'C', 71, "M63 50C60 62 50 68 39 68h9 36v39 4C50 4 61 10 63 24" },
    { 'D', 72, "M11 4L11 68L31 68h63 36v31 4L11 4" },
    { 'E', 63, "M56 68L11 68L11 4L57 4M11 37L53 37" },
    { 'F', 59, "M55 68L11 68L11 4M11 36L49 36" },
    { 'G', 77, "M65 51C61 62 52 68 40 68h9 36v40 4h67 29L67 34L43 34" },
    { 'H', 72, "M11 4L11 68M61 4L61 68M11 37L61 37" },
    { 'I', 28, "M14 4L14 68" },
    { 'J', 50, "M40 68L40 23v24 4h8 21" },
    { 'K', 66, "M11 4L11 68M57 68L11 26M26 40L60 4" },
    { 'L', 56, "M11 68L11 4L51 4" },
    { 'M', 84, "M11 4L11 68L42 12L73 68L73 4" },
    { 'N', 72, "M11 4L11 68L61 4L61 68" },
    { 'O', 78, "M39 4h70 36v39 68h8 36v39 4" },
    { 'P', 65, "M11 4L11 68L38 68h58 50v38 32L11 32" },
    { 'Q', 78, "M39 4h70 36v39 68h8 36v39 4M48 19L67 0" },
    { 'R', 70, "M11 4L11 68L39 68h59 51v39 34L11 34M38 34L61 4" },
    { 'S', 65, "M55 53v33 68h11 52C11 32 57 42 57 21v33 4h8 21" },
    { 'T', 61, "M30 4L30 68M6 68L55 68" },
    { 'U', 72, "M11 68L11 28v36 4h61 28L61 68" },
    { 'V', 64, "M5 68L32 4L59 68" },
    { 'W', 92, "M5 68L25 4L46 66L67 4L87 68" },
    { 'X', 64, "M7 68L57 4M57 68L7 4" },
    { 'Y', 64, "M5 68L32 34L59 68M32 34L32 4" },
    { 'Z', 61, "M8 68L54 68L7 4L55 4" },
    { '[', 30, "M24 73L12 73L12 -15L24 -15" },
    { '\\', 30, "M26 -3L4 71" },
    { ']', 30, "M6 73L18 73L18 -15L6 -15" },
    { '^', 48, "M9 38L24 66L39 38" },
    { '_', 54, "M4 -10L50 -10" },
    { '`', 30, "M9 70L19 58" },
    { 'a', 54, "M11 37v27 48h43 33L43 4M43 28C36 25 9 29 9 15v22 4h43 20" },
    { 'b', 56, "M10 70L10 4M10 26v28 48h47 26v28 4h10 26" },
    { 'c', 50, "M44 36C41 44 36 48 28 48h8 26v28 4C36 4 42 8 44 17" },
    { 'd', 56, "M46 70L46 4M46 26v28 48h9 26v28 4h46 26" },
    { 'e', 55, "M8 27L47 27v28 48h8 26v28 4C36 4 43 8 45 15" },
    { 'f', 30, "M14 4L14 56v26 70L29 70M4 48L26 48" },
    { 'g', 56, "M46 48L46 0v28 -17h11 -5M46 26v28 48h9 26v28 4h46 26" },
    { 'h', 56, "M10 70L10 4M10 28v29 48h46 31L46 4" },
    { 'i', 23, "M11 48L11 4M11 65L11 66" },
    { 'j', 24, "M13 48L13 -4v2 -17M13 65L13 66" },
    { 'k', 51, "M10 70L10 4M42 48L10 19M22 30L46 4" },
    { 'l', 23, "M11 70L11 4" },
    { 'm', 84, "M10 48L10 4M10 29v26 48h42 32L42 4M42 29v58 48h74 32L74 4" },
    { 'n', 56, "M10 48L10 4M10 28v29 48h46 31L46 4" },
    { 'o', 56, "M28 4h47 26v28 48h9 26v28 4" },
    { 'p', 56, "M10 48L10 -17M10 26v28 48h47 26v28 4h10 26" },
    { 'q', 56, "M46 48L46 -17M46 26v28 48h9 26v28 4h46 26" },
    { 'r', 35, "M10 48L10 4M10 25v32 48" },
    { 's', 50, "M42 37v25 48h10 37C10 22 43 31 43 16v25 4h8 15" },
    { 't', 30, "M14 62L14 16v24 4L27 4M4 48L26 48" },
    { 'u', 56, "M10 48L10 21v26 4h46 24M46 48L46 4" },
    { 'v', 50, "M5 48L25 4L45 48" },
    { 'w', 72, "M5 48L20 4L36 46L52 4L67 48" },
    { 'x', 50, "M6 48L44 4M44 48L6 4" },
    { 'y', 50, "M5 48L25 4M45 48L24 0C20 -10 17 -17 7 -17" },
    { 'z', 49, "M7 48L42 48L6 4L43 4" },
    { '{', 33, "M26 73C10 73 22 33 8 29C22 25 10 -15 26 -15" },
    { '|', 26, "M13 73L13 -15" },
    { '}', 33, "M7 73C23 73 11 33 25 29C11 25 23 -15 7 -15" },
    { '~', 58, "M9 29C18 47 40 21 49 39" },
};

static const glyph signs[] = {
    { 0x00b0, 40, "M20 48h30 58v20 68h10 58v20 48" },       /* degree */
    { 0x00b1, 58, "M29 58L29 24M10 41L48 41M10 10L48 10" }, /* plus-minus */
    { 0x00b7, 28, "M14 29L14 30" },                         /* middle dot */
    { 0x00d7, 52, "M11 47L41 17M41 47L11 17" },             /* times */
    { 0x2013, 56, "M4 28L52 28" },                          /* en dash */
    { 0x2026, 84, "M14 5L14 6M42 5L42 6M70 5L70 6" },       /* ellipsis */
    { 0x2192, 84, "M8 31L74 31M55 48L74 31L55 14" },        /* arrow */
    { 0x2212, 58, "M10 34L48 34" },                         /* minus */
    { 0x22c6, 50, "M25 56L14 20L44 42L6 42L36 20L25 56" },  /* star: cross-correlation */
};

/* Any other character: an empty box, a full em wide from the first CJK block on. */
static const glyph narrow_box = { 0, 60, "M8 4L8 66L52 66L52 4L8 4" };
static const glyph wide_box = { 0, 100, "M10 -6L10 72L90 72L90 -6L10 -6" };
#define FIRST_WIDE 0x2e80

bool fig_is_wide(uint32_t code) { return code >= FIRST_WIDE && code != 0xfffd; }

static const glyph *find(uint32_t code) {
    if (code >= FIRST && code <= LAST) return &ascii[code - FIRST];
    for (size_t i = 0; i < LENS_COUNT(signs); i++)
        if (signs[i].code == code) return &signs[i];
    return fig_is_wide(code) ? &wide_box : &narrow_box;
}

uint32_t fig_utf8(const char **s) {
    const unsigned char *p = (const unsigned char *)*s;
    static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
    int more = p[0] < 0x80 ? 0 : (p[0] & 0xe0) == 0xc0 ? 1 : (p[0] & 0xf0) == 0xe0 ? 2 : 3;
    if (more == 3 && (p[0] & 0xf8) != 0xf0) goto bad;
    uint32_t code = more == 0 ? p[0] : p[0] & (0x3fu >> more);
    for (int i = 1; i <= more; i++) {
        if ((p[i] & 0xc0) != 0x80) goto bad;
        code = code << 6 | (p[i] & 0x3fu);
    }
    if (code < least[more] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) goto bad;
    *s += more + 1;
    return code < 32 || code == 127 || code == 0xfffe || code == 0xffff ? 0xfffd : code;
bad:
    *s += 1;
    return 0xfffd;
}

static double advance_of(const glyph *g, bool bold) {
    return g->advance + (bold && g->advance > 0 ? BOLD_ADVANCE : 0);
}

double fig_measure(const char *text, double size, bool bold) {
    double sum = 0;
    while (*text) sum += advance_of(find(fig_utf8(&text)), bold);
    return sum * size / 100;
}

/* The paths are our own constants: no errors to report. */
static int next_number(const char **p) {
    while (**p == ' ') ++*p;
    int sign = **p == '-' ? (++*p, -1) : 1, value = 0;
    while (**p >= '0' && **p <= '9') value = value * 10 + *(*p)++ - '0';
    return sign * value;
}

static void cubic(fig_pen *move, void *user, const double p[8]) {
    for (int i = 1; i <= CURVE_STEPS; i++) {
        double t = (double)i / CURVE_STEPS, u = 1 - t;
        double a = u * u * u, b = 3 * u * u * t, c = 3 * u * t * t, d = t * t * t;
        move(user, a * p[0] + b * p[2] + c * p[4] + d * p[6],
             a * p[1] + b * p[3] + c * p[5] + d * p[7], false);
    }
}

double fig_glyph(uint32_t code, bool bold, fig_pen *move, void *user, double *thick) {
    const glyph *g = find(code);
    double x = 0, y = 0, shift = bold ? BOLD_ADVANCE / 2.0 : 0;
    *thick = bold ? PEN_BOLD : PEN_REGULAR;
    for (const char *p = g->path; *p;) {
        char op = *p++;
        double c[8] = { x, y };
        int args = op == 'C' ? 6 : 2;
        for (int i = 0; i < args; i += 2) {
            c[2 + i] = next_number(&p) + shift;
            c[3 + i] = next_number(&p);
        }
        double ex = c[args], ey = c[args + 1];
        if (op == 'M' || op == 'L') {
            move(user, ex, ey, op == 'M');
        } else {
            if (op == 'h') {
                c[2] = x + BOWL * (ex - x), c[3] = y;
                c[4] = ex, c[5] = ey - BOWL * (ey - y);
            } else if (op == 'v') {
                c[2] = x, c[3] = y + BOWL * (ey - y);
                c[4] = ex - BOWL * (ex - x), c[5] = ey;
            }
            c[6] = ex, c[7] = ey;
            cubic(move, user, c);
        }
        x = ex, y = ey;
    }
    return advance_of(g, bold);
}
