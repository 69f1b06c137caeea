// Compiles src/MachVerifier.sol with the solc of package.json and writes artifacts/MachVerifier.json;
// with --check it compares instead. Install the compiler first:
//   npm install --no-package-lock --ignore-scripts
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const name = "MachVerifier";
const file = `src/${name}.sol`;
const artifact = join(here, "artifacts", `${name}.json`);
const solc = createRequire(join(here, "package.json"))("solc");

const source = readFileSync(join(here, file), "utf8");
const settings = {
  evmVersion: "prague",
  optimizer: { enabled: true, runs: 10000 },
  viaIR: true,
  metadata: { bytecodeHash: "none", appendCBOR: false },
};
const output = JSON.parse(
  solc.compile(
    JSON.stringify({
      language: "Solidity",
      sources: { [file]: { content: source } },
      settings: {
        ...settings,
        outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
      },
    }),
  ),
);
for (const problem of output.errors ?? []) console.error(problem.formattedMessage);
if ((output.errors ?? []).length > 0) process.exit(1);

const contract = output.contracts[file][name];
const text =
  JSON.stringify(
    {
      contract: name,
      compiler: solc.version(),
      settings,
      sourceSha256: createHash("sha256").update(source).digest("hex"),
      deployedBytes: contract.evm.deployedBytecode.object.length / 2,
      abi: contract.abi,
      bytecode: contract.evm.bytecode.object,
    },
    null,
    2,
  ) + "\n";

if (process.argv.includes("--check")) {
  if (readFileSync(artifact, "utf8") !== text) {
    console.error(`${artifact} is not what ${file} compiles to: run npm run build`);
    process.exit(1);
  }
} else {
  mkdirSync(dirname(artifact), { recursive: true });
  writeFileSync(artifact, text);
}
