// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title MachVerifier: checks MACH certificates of a Squad network
/// @notice Holds the committee of the current and the previous epoch, and the certified results that
/// somebody needed. Formats: crate `squad-mach`; every byte that is hashed or signed here is pinned there.
///
/// Pairings, sums and the map to G2 are those of EIP-2537, so the chain must have Prague. Points are
/// uncompressed: a coordinate takes 64 bytes of which the first 16 are zero.
///
/// A committee lies in the code of a data contract, 104 bytes per member, because reading code costs 3 gas per
/// word while a storage slot costs 2,100. The sum of all keys lies in front, and the keys of absent members are
/// subtracted from it.
contract MachVerifier {
    /// Member of a committee; the order of fields is that of the committee leaf.
    struct Member {
        uint32 operatorId;
        bytes32 identity;
        uint256[4] key;
        uint64 stake;
    }

    /// What more than two thirds of stake signed. Bit i of `signers` stands for member i.
    struct Certificate {
        bytes32 networkId;
        uint64 epoch;
        uint64 height;
        bytes32 blockHash;
        bytes32 resultRoot;
        uint16 committeeSize;
        uint128 signers;
        uint256[8] signature;
    }

    /// Path of the next committee's root: below the ledger root, and of that below the result root.
    struct HandoverPath {
        uint32 index;
        uint32 count;
        bytes32[] siblings;
        bytes32[2] resultSiblings;
    }

    struct Committee {
        address data;
        uint64 totalStake;
        uint16 size;
    }

    error NotOwner();
    error AlreadyInstalled();
    error NotInstalled();
    error WrongNetwork();
    error UnknownEpoch(uint64 epoch);
    error WrongCommitteeSize(uint16 size);
    error UnknownSigner();
    error NoQuorum(uint64 power, uint64 total);
    error IdentityPoint();
    error BadPoint();
    error BadSignature();
    error NoPossession(uint256 member);
    error Replay(uint64 height);
    error BadCommittee();
    error BadPath();
    error PrecompileFailed(uint256 precompile);

    event KeyRegistered(bytes32 indexed identity, bytes32 indexed key);
    event CommitteeInstalled(uint64 indexed epoch, bytes32 root);
    event Finalized(uint64 indexed height, bytes32 blockHash, bytes32 resultRoot);

    uint256 private constant SIZE_MAX = 128;
    uint256 private constant STAKE_MAX = 1 << 62;
    uint256 private constant MEMBER_BYTES = 104;
    uint256 private constant SUM_BYTES = 96;

    // The field's modulus, upper 16 and lower 32 bytes; half of it, rounded down.
    uint256 private constant P_HI = 0x1a0111ea397fe69a4b1ba7b6434bacd7;
    uint256 private constant P_LO = 0x64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab;
    uint256 private constant HALF_HI = 0x0d0088f51cbff34d258dd3db21a5d66b;
    uint256 private constant HALF_LO = 0xb23ba5c279c2895fb39869507b587b120f55ffff58a9ffffdcff7fffffffd555;

    // The negated generator of G1.
    uint256 private constant G1_X_HI = 0x17f1d3a73197d7942695638c4fa9ac0f;
    uint256 private constant G1_X_LO = 0xc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb;
    uint256 private constant NEG_G1_Y_HI = 0x114d1d6855d545a8aa7d76c8cf2e21f2;
    uint256 private constant NEG_G1_Y_LO = 0x67816aef1db507c96655b9d5caac42364e6f38ba0ecb751bad54dcd6b939c2ca;

    // Tags, padded with zeros to 32 bytes.
    bytes32 private constant ATTESTATION = "squad/mach/attest/v1";
    bytes32 private constant POSSESSION = "squad/mach/possession/v1";
    bytes32 private constant RESULT_LEAF = "squad/mach/result/v1";
    bytes32 private constant COMMITTEE_LEAF = "squad/mach/committee/v1";
    bytes32 private constant LEDGER_LEAF = "squad/mach/ledger/v1";
    uint8 private constant LEDGER_ROOT = 2;

    // Ciphersuite and its length, as RFC 9380 appends them.
    bytes private constant DST_PRIME = "BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_NUL_\x2b";

    address public immutable owner;
    bytes32 public immutable networkId;

    /// Last epoch with a known committee, and whether there is one.
    uint64 public currentEpoch;
    bool public installed;
    /// Highest height that was submitted.
    uint64 public latestHeight;

    mapping(uint64 epoch => Committee) public committees;
    /// Keys whose possession was proved, by hash of identity and key.
    mapping(bytes32 keyHash => bool) public registered;
    /// Certified results by height.
    mapping(uint64 height => bytes32) public resultRoots;

    constructor(bytes32 networkId_) {
        owner = msg.sender;
        networkId = networkId_;
    }

    /// @notice Registers a key after checking its proof of possession. Anybody may call it, once per key.
    function register(bytes32 identity, uint256[4] calldata key, uint256[8] calldata possession) external {
        if (key[0] | key[1] | key[2] | key[3] == 0) revert IdentityPoint();
        bytes memory message = abi.encodePacked(POSSESSION, identity, compress(key));
        uint256[8] memory hashed = hashToG2(message);
        // The pairing precompile refuses points outside the subgroup, of the key too.
        checkPairing(key, hashed, possession);
        bytes32 keyHash = keccak256(abi.encode(identity, key));
        registered[keyHash] = true;
        emit KeyRegistered(identity, keyHash);
    }

    /// @notice The owner names the first committee; later ones come by certificate only.
    function installGenesis(uint64 epoch, Member[] calldata members) external {
        if (msg.sender != owner) revert NotOwner();
        if (installed) revert AlreadyInstalled();
        installed = true;
        install(epoch, members);
    }

    /// @notice Checks a certificate of the current or the previous epoch. Reverts if it does not hold.
    function verify(Certificate calldata certificate) public view {
        if (!installed) revert NotInstalled();
        if (certificate.networkId != networkId) revert WrongNetwork();
        Committee memory committee = committeeOf(certificate.epoch);
        if (certificate.committeeSize != committee.size) revert WrongCommitteeSize(certificate.committeeSize);
        uint256[4] memory key = signerKey(committee, certificate.signers);
        bytes memory message = abi.encodePacked(
            ATTESTATION,
            certificate.networkId,
            certificate.epoch,
            certificate.height,
            certificate.blockHash,
            certificate.resultRoot
        );
        checkPairing(key, hashToG2(message), certificate.signature);
    }

    /// @notice Records a certified result. Heights only rise, so none is recorded twice.
    function submit(Certificate calldata certificate) external {
        if (certificate.height <= latestHeight) revert Replay(certificate.height);
        verify(certificate);
        latestHeight = certificate.height;
        resultRoots[certificate.height] = certificate.resultRoot;
        emit Finalized(certificate.height, certificate.blockHash, certificate.resultRoot);
    }

    /// @notice Installs the committee after the current epoch's, which a certificate of that epoch vouches for.
    function advanceEpoch(
        Certificate calldata certificate,
        HandoverPath calldata path,
        Member[] calldata members
    ) external {
        uint64 epoch = currentEpoch;
        if (certificate.epoch != epoch) revert UnknownEpoch(certificate.epoch);
        verify(certificate);
        bytes32 root = install(epoch + 1, members);
        bytes32 leaf = sha256(
            abi.encodePacked(
                uint8(0), LEDGER_LEAF, uint16(18), "committee/", epoch + 1, uint16(32), root
            )
        );
        bytes32 ledgerRoot = ascend(leaf, path.index, path.count, path.siblings);
        bytes32 resultLeaf = sha256(abi.encodePacked(uint8(0), RESULT_LEAF, LEDGER_ROOT, ledgerRoot));
        bytes32[] memory up = new bytes32[](2);
        up[0] = path.resultSiblings[0];
        up[1] = path.resultSiblings[1];
        if (ascend(resultLeaf, LEDGER_ROOT, 4, up) != certificate.resultRoot) revert BadPath();
    }

    function committeeOf(uint64 epoch) private view returns (Committee memory committee) {
        uint64 current = currentEpoch;
        if (epoch != current && (current == 0 || epoch != current - 1)) revert UnknownEpoch(epoch);
        committee = committees[epoch];
        if (committee.size == 0) revert UnknownEpoch(epoch);
    }

    /// Sum of the signers' keys, after checking that their stake is strictly above two thirds.
    function signerKey(Committee memory committee, uint128 signers)
        private
        view
        returns (uint256[4] memory sum)
    {
        uint256 size = committee.size;
        if (uint256(signers) >> size != 0) revert UnknownSigner();
        bytes memory data = read(committee.data);
        uint256 power = committee.totalStake;
        uint256 absentCount;
        for (uint256 i = 0; i < size; ++i) {
            if ((signers >> i) & 1 == 0) {
                power -= stakeAt(data, i);
                ++absentCount;
            }
        }
        if (power * 3 <= uint256(committee.totalStake) * 2) {
            revert NoQuorum(uint64(power), committee.totalStake);
        }
        // Whichever are fewer are added up: the absent, negated, to the sum of all; or the signers.
        bool subtract = absentCount <= size - absentCount;
        uint256[8] memory terms;
        if (subtract) loadPoint(data, 0, terms);
        for (uint256 i = 0; i < size; ++i) {
            bool signed = (signers >> i) & 1 == 1;
            if (signed == subtract) continue;
            addMember(data, i, subtract, terms);
        }
        (sum[0], sum[1], sum[2], sum[3]) = (terms[0], terms[1], terms[2], terms[3]);
    }

    /// Adds a member's key, or its negation, to the first point of `terms`.
    function addMember(bytes memory data, uint256 i, bool negate, uint256[8] memory terms) private view {
        uint256 offset = SUM_BYTES + i * MEMBER_BYTES;
        bool ok;
        assembly ("memory-safe") {
            let from := add(add(data, 32), offset)
            mstore(add(terms, 0x80), shr(128, mload(from)))
            mstore(add(terms, 0xa0), mload(add(from, 16)))
            let hi := shr(128, mload(add(from, 48)))
            let lo := mload(add(from, 64))
            if negate {
                // The borrow of the lower word.
                hi := sub(sub(P_HI, hi), lt(P_LO, lo))
                lo := sub(P_LO, lo)
            }
            mstore(add(terms, 0xc0), hi)
            mstore(add(terms, 0xe0), lo)
            ok := staticcall(gas(), 0x0b, terms, 0x100, terms, 0x80)
        }
        if (!ok) revert PrecompileFailed(0x0b);
    }

    function loadPoint(bytes memory data, uint256 offset, uint256[8] memory terms) private pure {
        assembly ("memory-safe") {
            let from := add(add(data, 32), offset)
            mstore(terms, shr(128, mload(from)))
            mstore(add(terms, 0x20), mload(add(from, 16)))
            mstore(add(terms, 0x40), shr(128, mload(add(from, 48))))
            mstore(add(terms, 0x60), mload(add(from, 64)))
        }
    }

    function stakeAt(bytes memory data, uint256 i) private pure returns (uint256 stake) {
        uint256 offset = SUM_BYTES + i * MEMBER_BYTES + 96;
        assembly ("memory-safe") {
            stake := shr(192, mload(add(add(data, 32), offset)))
        }
    }

    /// Checks and stores a committee; returns its root.
    function install(uint64 epoch, Member[] calldata members) private returns (bytes32 root) {
        uint256 size = members.length;
        if (size == 0 || size > SIZE_MAX) revert BadCommittee();
        uint256 length = SUM_BYTES + size * MEMBER_BYTES;
        // Room for the last member's last words.
        bytes memory data = new bytes(length + 32);
        bytes32[] memory leaves = new bytes32[](size);
        uint256[8] memory terms;
        uint256 total;
        for (uint256 i = 0; i < size; ++i) {
            Member calldata member = members[i];
            if (!registered[keccak256(abi.encode(member.identity, member.key))]) revert NoPossession(i);
            if (member.stake == 0) revert BadCommittee();
            // Ascending numbers: nobody is in twice. The root that operators vouch for has unique keys.
            if (i > 0 && member.operatorId <= members[i - 1].operatorId) revert BadCommittee();
            total += member.stake;
            leaves[i] = sha256(
                abi.encodePacked(
                    uint8(0),
                    COMMITTEE_LEAF,
                    member.operatorId,
                    member.identity,
                    compress(member.key),
                    member.stake
                )
            );
            writePoint(data, SUM_BYTES + i * MEMBER_BYTES, member.key);
            uint256 stake = member.stake;
            assembly ("memory-safe") {
                // Only eight bytes are the member's; the others are zero until the next member comes.
                mstore(add(add(add(data, 32), SUM_BYTES), add(mul(i, MEMBER_BYTES), 96)), shl(192, stake))
            }
            addMember(data, i, false, terms);
        }
        if (total > STAKE_MAX) revert BadCommittee();
        assembly ("memory-safe") {
            mstore(data, length)
        }
        writePoint(data, 0, [terms[0], terms[1], terms[2], terms[3]]);
        root = merkleRoot(leaves);
        committees[epoch] = Committee(store(data), uint64(total), uint16(size));
        currentEpoch = epoch;
        emit CommitteeInstalled(epoch, root);
    }

    /// Writes 96 bytes: both coordinates without their zeros.
    function writePoint(bytes memory data, uint256 offset, uint256[4] memory key) private pure {
        assembly ("memory-safe") {
            let to := add(add(data, 32), offset)
            // Each word overwrites the first half of the one after it, which is written next.
            mstore(to, shl(128, mload(key)))
            mstore(add(to, 16), mload(add(key, 0x20)))
            let hi := mload(add(key, 0x40))
            let lo := mload(add(key, 0x60))
            mstore(add(to, 48), or(shl(128, hi), shr(128, lo)))
            let rest := and(mload(add(to, 80)), sub(shl(128, 1), 1))
            mstore(add(to, 80), or(shl(128, lo), rest))
        }
    }

    /// Keeps data as the code of a contract; the zero in front is STOP, so nobody can run it.
    function store(bytes memory data) private returns (address pointer) {
        bytes memory code = abi.encodePacked(
            // PUSH3 length, DUP1, PUSH1 12, PUSH0, CODECOPY, PUSH0, RETURN, padded to 12 bytes.
            hex"62", uint24(data.length + 1), hex"80600b5f395ff3", hex"00", data
        );
        assembly ("memory-safe") {
            pointer := create(0, add(code, 32), mload(code))
        }
        if (pointer == address(0)) revert BadCommittee();
    }

    function read(address pointer) private view returns (bytes memory data) {
        uint256 length = pointer.code.length - 1;
        data = new bytes(length);
        assembly ("memory-safe") {
            extcodecopy(pointer, add(data, 32), 1, length)
        }
    }

    /// The 48 bytes of the compressed form.
    function compress(uint256[4] memory key) private pure returns (bytes memory) {
        // Above half of the modulus: the larger of the two square roots.
        bool larger = key[2] > HALF_HI || (key[2] == HALF_HI && key[3] > HALF_LO);
        uint128 head = uint128(key[0]) | (uint128(larger ? 0xa0 : 0x80) << 120);
        return abi.encodePacked(head, key[1]);
    }

    /// Root over leaf digests; an odd last node goes up unchanged, and the root binds the count.
    function merkleRoot(bytes32[] memory level) private pure returns (bytes32) {
        uint256 width = level.length;
        uint32 count = uint32(width);
        while (width > 1) {
            uint256 next = (width + 1) / 2;
            for (uint256 i = 0; i < next; ++i) {
                level[i] = 2 * i + 1 < width
                    ? sha256(abi.encodePacked(uint8(1), level[2 * i], level[2 * i + 1]))
                    : level[2 * i];
            }
            width = next;
        }
        return sha256(abi.encodePacked(uint8(2), count, level[0]));
    }

    /// The root that a path leads to from a leaf digest; it must have exactly the length that counts demand.
    function ascend(bytes32 current, uint32 index, uint32 count, bytes32[] memory siblings)
        private
        pure
        returns (bytes32)
    {
        if (index >= count) revert BadPath();
        uint256 position = index;
        uint256 width = count;
        uint256 used;
        while (width > 1) {
            if (position ^ 1 < width) {
                if (used == siblings.length) revert BadPath();
                bytes32 sibling = siblings[used++];
                current = position & 1 == 0
                    ? sha256(abi.encodePacked(uint8(1), current, sibling))
                    : sha256(abi.encodePacked(uint8(1), sibling, current));
            }
            position >>= 1;
            width = (width + 1) / 2;
        }
        if (used != siblings.length) revert BadPath();
        return sha256(abi.encodePacked(uint8(2), count, current));
    }

    /// RFC 9380 hash_to_curve for G2: two field elements, mapped and added. The map clears the cofactor.
    function hashToG2(bytes memory message) private view returns (uint256[8] memory point) {
        bytes32 seed = sha256(abi.encodePacked(new bytes(64), message, hex"010000", DST_PRIME));
        bytes32[8] memory uniform;
        bytes32 last;
        for (uint256 i = 0; i < 8; ++i) {
            last = sha256(abi.encodePacked(seed ^ last, uint8(i + 1), DST_PRIME));
            uniform[i] = last;
        }
        // Two points side by side: the input of the addition.
        uint256[16] memory pair;
        for (uint256 half = 0; half < 2; ++half) {
            uint256[4] memory element;
            reduce(uniform, 4 * half, element, 0);
            reduce(uniform, 4 * half + 2, element, 2);
            bool mapped;
            assembly ("memory-safe") {
                mapped := staticcall(gas(), 0x11, element, 0x80, add(pair, mul(half, 0x100)), 0x100)
            }
            if (!mapped) revert PrecompileFailed(0x11);
        }
        bool ok;
        assembly ("memory-safe") {
            ok := staticcall(gas(), 0x0d, pair, 0x200, point, 0x100)
        }
        if (!ok) revert PrecompileFailed(0x0d);
    }

    /// 64 bytes modulo the field's modulus, through the modular exponentiation with exponent 1.
    function reduce(bytes32[8] memory uniform, uint256 from, uint256[4] memory to, uint256 offset)
        private
        view
    {
        uint256[8] memory input;
        bytes memory packed = abi.encodePacked(
            uint256(64), uint256(1), uint256(64), uniform[from], uniform[from + 1], uint8(1), P_HI, P_LO
        );
        bool ok;
        assembly ("memory-safe") {
            ok := staticcall(gas(), 0x05, add(packed, 32), mload(packed), input, 0x40)
        }
        if (!ok) revert PrecompileFailed(0x05);
        to[offset] = input[0];
        to[offset + 1] = input[1];
    }

    /// e(-g1, signature) · e(key, hashed) = 1, with neither key nor signature the identity.
    function checkPairing(uint256[4] memory key, uint256[8] memory hashed, uint256[8] memory signature)
        private
        view
    {
        uint256 any;
        for (uint256 i = 0; i < 8; ++i) any |= signature[i];
        if (any == 0 || key[0] | key[1] | key[2] | key[3] == 0) revert IdentityPoint();
        bytes memory input = abi.encodePacked(
            G1_X_HI, G1_X_LO, NEG_G1_Y_HI, NEG_G1_Y_LO, signature, key, hashed
        );
        bool ok;
        uint256 result;
        assembly ("memory-safe") {
            ok := staticcall(gas(), 0x0f, add(input, 32), mload(input), 0, 0x20)
            result := mload(0)
        }
        // The precompile fails for coordinates that are no point of the subgroup.
        if (!ok) revert BadPoint();
        if (result != 1) revert BadSignature();
    }
}
