"""A rollup's client made only from the .proto files: submits transactions, follows the rollup's blocks,
and checks ids and list roots with BLAKE3.

    python squad_client.py submit  127.0.0.1:24102 901 hello world
    python squad_client.py follow  127.0.0.1:24102 901 --blocks 2
    python squad_client.py compare 127.0.0.1:24102 127.0.0.1:29110 901
"""
import argparse
import struct

import blake3
import grpc
from squad.v1 import block_pb2, block_pb2_grpc, sequencer_pb2, sequencer_pb2_grpc, types_pb2

TAG = b"squad/tx/v1"


def tx_id(network, encoded):
    """BLAKE3 over the length-framed tag, the network id, and the transaction's canonical encoding."""
    return blake3.blake3(struct.pack("<I", len(TAG)) + TAG + network + encoded).digest()


def merkle_root(leaves):
    """Binary tree: node = H(1 | left | right), an odd node passes up, root = H(2 | top | count)."""
    level = leaves
    while len(level) > 1:
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        level = [blake3.blake3(b"\x01" + b"".join(p)).digest() if len(p) == 2 else p[0] for p in pairs]
    return blake3.blake3(b"\x02" + level[0] + struct.pack("<I", len(leaves))).digest()


def submit(args):
    stub = sequencer_pb2_grpc.SequencerServiceStub(grpc.insecure_channel(args.endpoint))
    for text in args.payload:
        transaction = sequencer_pb2.Transaction(
            rollup_id=args.rollup, payload=text.encode(), kind=types_pb2.TRANSACTION_KIND_PLAIN
        )
        answer = stub.SubmitTransaction(
            sequencer_pb2.SubmitTransactionRequest(
                transaction=transaction, wait_for=sequencer_pb2.STATUS_ORDERED, wait_ms=5000
            )
        )
        status = answer.status
        print(f"{text!r}: 0x{status.tx_id.hex()} ordered at height {status.height}, position {status.position}")


def items(endpoint, rollup, start, last):
    """The rollup's stream from a height up to another one; yields the network id first."""
    stub = block_pb2_grpc.BlockServiceStub(grpc.insecure_channel(endpoint))
    request = block_pb2.SubscribeBlocksRequest(from_height=start, rollup_id=rollup, include_payload=True)
    for item in stub.SubscribeBlocks(request):
        kind = item.WhichOneof("item")
        if kind == "hello":
            yield item.hello.network_id
            last = last or item.hello.head_height
        elif kind == "block":
            yield item
            if item.block.height >= last and item.block.last:
                return


def follow(args):
    stream = items(args.endpoint, args.rollup, args.start, 1 << 62)
    network, seen = next(stream), 0
    for item in stream:
        for entry in item.block.entries:
            ids = [entry.tx_ids[i : i + 32] for i in range(0, len(entry.tx_ids), 32)]
            assert ids == [tx_id(network, encoded) for encoded in entry.transactions], "an id is wrong"
            leaf = item.block.header.rollup_proof.present.leaf
            if entry.first_position == 0 and len(ids) == leaf.tx_count:
                assert merkle_root(ids) == leaf.list_root, "the list root is wrong"
            print(f"height {item.block.height}, block {entry.rollup_block_number}: {len(ids)} transactions, "
                  f"first payload {entry.transactions[0][17:49]!r}")
            seen += 1
        if seen >= args.blocks:
            return


def compare(args):
    """Whether two nodes serve the same stream. Who signed a block differs from node to node, so commit
    proofs and attestations are left out; everything else must be equal byte for byte."""

    def read(endpoint, last):
        out = []
        for item in items(endpoint, args.rollup, 1, last):
            if isinstance(item, bytes):
                continue
            item.block.header.ClearField("commit")
            item.block.header.ClearField("attestations")
            out.append(item.SerializeToString(deterministic=True))
        return out

    first = read(args.endpoint, 0)
    last = len(first) and block_pb2.SubscribeBlocksResponse.FromString(first[-1]).block.height
    second = read(args.other, last)
    assert first == second, "the streams differ"
    print(f"{len(first)} items, {sum(map(len, first))} bytes, equal up to height {last}")


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
commands = parser.add_subparsers(required=True)
command = commands.add_parser("submit")
command.set_defaults(run=submit)
command.add_argument("endpoint")
command.add_argument("rollup", type=int)
command.add_argument("payload", nargs="+")
command = commands.add_parser("follow")
command.set_defaults(run=follow)
command.add_argument("endpoint")
command.add_argument("rollup", type=int)
command.add_argument("--start", type=int, default=1, help="first height")
command.add_argument("--blocks", type=int, default=10, help="blocks with transactions to read")
command = commands.add_parser("compare")
command.set_defaults(run=compare)
command.add_argument("endpoint")
command.add_argument("other")
command.add_argument("rollup", type=int)
if __name__ == "__main__":
    args = parser.parse_args()
    args.run(args)
