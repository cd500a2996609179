/* A Modbus server that owes nothing to this project or to pymodbus: libmodbus with a register map read from standard input.
 *
 *   libmodbus_server tcp                 one client after the other on 127.0.0.1, at a port of its own choice, which it prints
 *   libmodbus_server rtu PATH UNIT       on a serial line of 9600 8N1; prints 0 once it listens
 *
 * Standard input: "FUNCTION ADDRESS WORD" in each line, hexadecimal, in ascending order; the map of each function reaches from its first
 * address to its last, and what is not given reads as 0.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct words {
    unsigned first, count;
    uint16_t word[0x10000];
};

static struct words maps[5];

static void read_maps(void)
{
    unsigned function, address, word;
    while (scanf("%x %x %x", &function, &address, &word) == 3) {
        struct words *map = &maps[function == 4 ? 4 : 3];
        if (map->count == 0)
            map->first = address;
        map->count = address - map->first + 1;
        map->word[address - map->first] = (uint16_t)word;
    }
}

static void fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, modbus_strerror(errno));
    exit(1);
}

static void answer(modbus_t *context, modbus_mapping_t *mapping)
{
    uint8_t request[MODBUS_TCP_MAX_ADU_LENGTH];
    for (;;) {
        int length = modbus_receive(context, request);
        if (length < 0 && (errno == ECONNRESET || errno == EIO || errno == EBADF))
            return;
        if (length > 0)
            modbus_reply(context, request, length, mapping);
    }
}

int main(int argc, char **argv)
{
    int rtu = argc == 4 && strcmp(argv[1], "rtu") == 0;
    read_maps();
    modbus_mapping_t *mapping =
        modbus_mapping_new_start_address(0, 0, 0, 0, maps[3].first, maps[3].count, maps[4].first, maps[4].count);
    modbus_t *context = rtu ? modbus_new_rtu(argv[2], 9600, 'N', 8, 1) : modbus_new_tcp("127.0.0.1", 0);
    if (!mapping || !context)
        fail("no memory");
    memcpy(mapping->tab_registers, maps[3].word, 2 * maps[3].count);
    memcpy(mapping->tab_input_registers, maps[4].word, 2 * maps[4].count);
    if (rtu) {
        if (modbus_set_slave(context, atoi(argv[3])) < 0 || modbus_connect(context) < 0)
            fail(argv[2]);
        puts("0");
        fflush(stdout);
        answer(context, mapping);
        return 0;
    }
    int listener = modbus_tcp_listen(context, 1);
    struct sockaddr_in bound;
    socklen_t size = sizeof bound;
    if (listener < 0 || getsockname(listener, (struct sockaddr *)&bound, &size) < 0)
        fail("listen");
    printf("%d\n", ntohs(bound.sin_port));
    fflush(stdout);
    while (modbus_tcp_accept(context, &listener) >= 0)
        answer(context, mapping);
    return 1;
}
