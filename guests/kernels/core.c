// What small processors are measured with, in the manner of CoreMark and in words of our own: a linked list that is
// searched, reversed and sorted, products of small matrices of integers, a state machine that reads numbers, and a CRC
// of all of that. Each part goes on with what the others have left, and checks itself: what is computed twice must be
// the same twice. Besides the two lines of all kernels, it prints its rounds a second.
//
// Calls through function pointers (the orders of the list), short loops, loads that depend on loads, branches that depend
// on data: little that a vector unit could do.
#define KERNEL_HAS_REPORT
#include "kernel.h"

const int kernel_iterations = 20000;

static uint16_t crc = 0xFFFF;

// CRC-16 of CCITT, one bit at a time.
static uint16_t crc_byte(uint16_t sum, uint8_t byte) {
    for (int bit = 0; bit < 8; bit++) {
        unsigned carry = (sum ^ byte) & 1u;
        sum = (uint16_t)(sum >> 1);
        if (carry) {
            sum ^= 0x8408u;
        }
        byte >>= 1;
    }
    return sum;
}

KERNEL static uint16_t crc_word(uint16_t sum, uint32_t word) {
    for (int shift = 0; shift < 32; shift += 8) {
        sum = crc_byte(sum, (uint8_t)(word >> shift));
    }
    return sum;
}

static void must_be(int is_so, const char *what) {
    if (!is_so) {
        fprintf(stderr, "error: %s\n", what);
        exit(1);
    }
}

// ---- The list.

struct item {
    struct item *next;
    // Where the item was at first, and what it holds.
    int16_t place, value;
};

static struct item *items;
static struct item *list;
static int item_count;

typedef int order(const struct item *a, const struct item *b);

static int by_place(const struct item *a, const struct item *b) { return a->place - b->place; }

static int by_value(const struct item *a, const struct item *b) {
    int difference = a->value - b->value;
    return difference != 0 ? difference : by_place(a, b);
}

// By the CRC of what the item holds, of which seven bits are kept with it, as a costly order would.
static int by_sum(const struct item *a, const struct item *b) {
    int sum_a = crc_byte(0, (uint8_t)a->value) & 0x7F, sum_b = crc_byte(0, (uint8_t)b->value) & 0x7F;
    return sum_a != sum_b ? sum_a - sum_b : by_place(a, b);
}

KERNEL static struct item *find(struct item *first, int value) {
    while (first != NULL && (first->value & 0xFF) != value) {
        first = first->next;
    }
    return first;
}

KERNEL static struct item *reverse(struct item *first) {
    struct item *reversed = NULL;
    while (first != NULL) {
        struct item *next = first->next;
        first->next = reversed;
        reversed = first;
        first = next;
    }
    return reversed;
}

// Merges sorted runs of 1, 2, 4 … items, in place and without recursion.
KERNEL static struct item *sort(struct item *first, order *before) {
    for (int run = 1;; run *= 2) {
        struct item *rest = first, **end = &first;
        int merges = 0;
        while (rest != NULL) {
            struct item *left = rest, *right = rest;
            int left_size = 0, right_size = run;
            while (left_size < run && right != NULL) {
                left_size++;
                right = right->next;
            }
            while (left_size > 0 || (right_size > 0 && right != NULL)) {
                int take_left = left_size > 0 && (right_size == 0 || right == NULL || before(left, right) <= 0);
                struct item *taken = take_left ? left : right;
                if (take_left) {
                    left = left->next;
                    left_size--;
                } else {
                    right = right->next;
                    right_size--;
                }
                *end = taken;
                end = &taken->next;
            }
            rest = right;
            merges++;
        }
        *end = NULL;
        if (merges <= 1) {
            return first;
        }
    }
}

KERNEL static uint16_t list_sum(uint16_t sum, const struct item *first) {
    for (; first != NULL; first = first->next) {
        sum = crc_word(sum, ((uint32_t)(uint16_t)first->place << 16) | (uint16_t)first->value);
    }
    return sum;
}

static uint16_t list_part(uint16_t seed) {
    int found = 0;
    for (int step = 0; step < 12; step++) {
        struct item *item = find(list, (seed + step * 21) & 0xFF);
        if (item != NULL) {
            found++;
            item->value = (int16_t)(item->value + seed % 5);
            if (item->next != NULL && item->next->next != NULL) {
                // What follows it goes to the front.
                struct item *moved = item->next;
                item->next = moved->next;
                moved->next = list;
                list = moved;
            }
        }
        list = reverse(list);
    }
    static order *const orders[] = {by_value, by_sum};
    list = sort(list, orders[(seed + found) & 1]);
    uint16_t sum = list_sum(seed, list);
    list = sort(list, by_place);
    int count = 0;
    for (const struct item *item = list; item != NULL; item = item->next) {
        must_be(item->place == count, "the list is not in its order");
        count++;
    }
    must_be(count == item_count, "the list has lost items");
    return crc_word(sum, (uint32_t)found);
}

// ---- The matrices.

static int side;
static int16_t *matrix_a, *matrix_b;
static int32_t *matrix_c;

KERNEL static void matrix_add(int n, int16_t *a, int16_t value) {
    for (int i = 0; i < n * n; i++) {
        a[i] = (int16_t)(a[i] + value);
    }
}

KERNEL static void matrix_times_vector(int n, int32_t *c, const int16_t *a, const int16_t *b) {
    for (int i = 0; i < n; i++) {
        c[i] = 0;
        for (int j = 0; j < n; j++) {
            c[i] += (int32_t)a[i * n + j] * b[j];
        }
    }
}

// The bits from `low` to `low + 9` of each product, or the products.
KERNEL static void matrix_times_matrix(int n, int32_t *c, const int16_t *a, const int16_t *b, int low) {
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            int32_t sum = 0;
            for (int k = 0; k < n; k++) {
                int32_t product = (int32_t)a[i * n + k] * b[k * n + j];
                sum += low < 0 ? product : (product >> low) & 0x3FF;
            }
            c[i * n + j] = sum;
        }
    }
}

// How often the elements rise, and how they add up to a limit.
KERNEL static int32_t matrix_sum(int n, const int32_t *c, int32_t limit) {
    int32_t total = 0, run = 0, last = 0;
    for (int i = 0; i < n * n; i++) {
        run = (int32_t)((uint32_t)run + (uint32_t)c[i]);
        if (run > limit) {
            total += 10;
            run = 0;
        } else {
            total += c[i] > last;
        }
        last = c[i];
    }
    return total;
}

static uint16_t matrix_part(uint16_t seed) {
    int n = side;
    int16_t value = (int16_t)(seed & 0xFF);
    matrix_add(n, matrix_a, value);
    matrix_times_matrix(n, matrix_c, matrix_a, matrix_b, -1);
    uint16_t sum = crc_word(seed, (uint32_t)matrix_sum(n, matrix_c, 20000));
    // The trace of a product does not depend on the order of its factors.
    int32_t trace = 0, other = 0;
    for (int i = 0; i < n; i++) {
        trace = (int32_t)((uint32_t)trace + (uint32_t)matrix_c[i * n + i]);
    }
    matrix_times_matrix(n, matrix_c, matrix_b, matrix_a, -1);
    for (int i = 0; i < n; i++) {
        other = (int32_t)((uint32_t)other + (uint32_t)matrix_c[i * n + i]);
    }
    must_be(trace == other, "the traces differ");
    matrix_times_matrix(n, matrix_c, matrix_a, matrix_b, seed & 3);
    sum = crc_word(sum, (uint32_t)matrix_sum(n, matrix_c, 2000));
    matrix_times_vector(n, matrix_c, matrix_a, matrix_b);
    sum = crc_word(sum, (uint32_t)matrix_sum(n / 3, matrix_c, 5000));
    matrix_add(n, matrix_a, (int16_t)-value);
    return sum;
}

// ---- The state machine.

enum state { START, SIGN, INTEGER, POINT, FRACTION, EXPONENT, EXPONENT_SIGN, SCIENTIFIC, WRONG, STATES };

static char *text;
static int text_size;

static int is_digit(char letter) { return letter >= '0' && letter <= '9'; }

// Reads up to the next comma, and answers what was read.
KERNEL static enum state read_number(const char **from, int *steps) {
    enum state state = START;
    const char *at = *from;
    for (; *at != '\0' && *at != ','; at++) {
        char letter = *at;
        enum state before = state;
        switch (state) {
        case START:
            state = is_digit(letter) ? INTEGER : letter == '+' || letter == '-' ? SIGN : letter == '.' ? POINT : WRONG;
            break;
        case SIGN:
            state = is_digit(letter) ? INTEGER : letter == '.' ? POINT : WRONG;
            break;
        case INTEGER:
            state = is_digit(letter) ? INTEGER : letter == '.' ? FRACTION : letter == 'e' || letter == 'E' ? EXPONENT : WRONG;
            break;
        case POINT:
            state = is_digit(letter) ? FRACTION : WRONG;
            break;
        case FRACTION:
            state = is_digit(letter) ? FRACTION : letter == 'e' || letter == 'E' ? EXPONENT : WRONG;
            break;
        case EXPONENT:
            state = is_digit(letter) ? SCIENTIFIC : letter == '+' || letter == '-' ? EXPONENT_SIGN : WRONG;
            break;
        case EXPONENT_SIGN:
        case SCIENTIFIC:
            state = is_digit(letter) ? SCIENTIFIC : WRONG;
            break;
        default:
            break;
        }
        steps[before] += before != state;
    }
    *from = *at == ',' ? at + 1 : at;
    return state;
}

static uint16_t count_numbers(uint16_t sum, int *wrong) {
    int ends[STATES] = {0}, steps[STATES] = {0};
    for (const char *at = text; *at != '\0';) {
        ends[read_number(&at, steps)]++;
    }
    for (int state = 0; state < STATES; state++) {
        sum = crc_word(sum, ((uint32_t)ends[state] << 16) | (uint16_t)steps[state]);
    }
    *wrong = ends[WRONG];
    return sum;
}

static uint16_t state_part(uint16_t seed) {
    int wrong, damaged, repaired;
    int step = 3 + seed % 29;
    uint16_t before = count_numbers(seed, &wrong);
    for (int at = seed % step; at < text_size; at += step) {
        if (text[at] != ',') {
            text[at] ^= 0x40;
        }
    }
    uint16_t sum = count_numbers(before, &damaged);
    must_be(damaged >= wrong, "damaged numbers are right");
    for (int at = seed % step; at < text_size; at += step) {
        if (text[at] != ',') {
            text[at] ^= 0x40;
        }
    }
    must_be(count_numbers(seed, &repaired) == before, "the text is another one");
    return sum;
}

// ---- All of it.

void kernel_setup(void) {
    item_count = hidden(180);
    items = allocate((size_t)item_count, sizeof *items);
    for (int i = 0; i < item_count; i++) {
        items[i] = (struct item){i + 1 < item_count ? &items[i + 1] : NULL, (int16_t)i, (int16_t)(next_random() & 0x7FF)};
    }
    list = items;

    side = hidden(12);
    size_t cells = (size_t)side * (size_t)side;
    matrix_a = allocate(cells, sizeof *matrix_a);
    matrix_b = allocate(cells, sizeof *matrix_b);
    matrix_c = allocate(cells, sizeof *matrix_c);
    for (size_t i = 0; i < cells; i++) {
        matrix_a[i] = (int16_t)(next_random() % 400) - 200;
        matrix_b[i] = (int16_t)(next_random() % 400) - 200;
    }

    static const char *const numbers[] = {"5012", "1234", "-874", "+122", "35.54400", ".1234500", "-110.700", "+0.64400",
                                          "5.500e+3", "-.123e-2", "-87e+832", "+0.6e-12", "T0.3e-1F", "-T.T++Tq",
                                          "1T3.4e4z", "34.0e-T^"};
    text_size = hidden(700);
    text = allocate((size_t)text_size + 1, 1);
    for (int at = 0;;) {
        const char *number = numbers[next_random() % (sizeof numbers / sizeof *numbers)];
        int size = (int)strlen(number);
        if (at + size + 1 > text_size) {
            text_size = at;
            break;
        }
        memcpy(text + at, number, (size_t)size);
        text[at + size] = ',';
        at += size + 1;
    }
}

void kernel_round(void) {
    crc = crc_word(crc, list_part(crc));
    crc = crc_word(crc, matrix_part(crc));
    crc = crc_word(crc, state_part(crc));
    crc = crc_word(crc, list_sum(crc, list));
}

uint64_t kernel_checksum(void) {
    uint64_t hash = hash_bytes(HASH_START, &crc, sizeof crc);
    for (int i = 0; i < item_count; i++) {
        hash = hash_bytes(hash, &items[i].value, sizeof items[i].value);
    }
    return hash;
}

void kernel_report(long rounds, uint64_t nanoseconds) {
    printf("iterations/s %.1f\n", (double)rounds * 1e9 / (double)nanoseconds);
}
