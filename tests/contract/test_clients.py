"""The clients of other platforms, unchanged, against the endpoint: each reads the answer of the native route."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import httpx
import numpy as np
import pytest
from botocore.config import Config

from slipstream.serving.http.routes import paths_from
from tests.unit.fixed_model import LETTERS, NUMBERS, Few, guards, listening, served

PEERS = Path(__file__).parents[2] / "var/peers/bin/python"
ROWS: list[dict[str, Any]] = [
    {"dep delay": 1.5, "seats": 2, "carrier": "AA", "night": False},
    {"dep delay": None, "seats": 7, "carrier": "UA", "night": True},
]
HEALTH, PREDICT = "/v1/endpoints/7/deployedModels/8", "/v1/endpoints/7/deployedModels/8:predict"


@pytest.fixture
def models() -> Few:
    return Few(served("m"), served("numbers", NUMBERS), served("letters", LETTERS))


@pytest.fixture
def url(models: Few) -> Iterator[str]:
    paths = paths_from({"AIP_HEALTH_ROUTE": HEALTH, "AIP_PREDICT_ROUTE": PREDICT})
    with listening(models, guards(default_model="m"), paths) as found:
        yield found


class TestTriton:
    """tritonclient, which speaks KServe's V2."""

    @pytest.fixture
    def client(self, url: str) -> Iterator[Any]:
        from tritonclient.http import InferenceServerClient

        client = InferenceServerClient(url.removeprefix("http://"))
        yield client
        client.close()

    @staticmethod
    def inputs(binary: bool) -> list[Any]:
        from tritonclient.http import InferInput

        arrays = {
            "dep delay": ("FP64", np.array([1.5, np.nan if binary else 0.5])),
            "seats": ("INT64", np.array([2, 7])),
            "carrier": ("BYTES", np.array(["AA", "UÄ"], dtype=object)),
            "night": ("BOOL", np.array([False, True])),
        }
        made = []
        for name, (datatype, array) in arrays.items():
            tensor = InferInput(name, list(array.shape), datatype)
            tensor.set_data_from_numpy(array, binary_data=binary)
            made.append(tensor)
        return made

    @pytest.mark.parametrize("binary", [True, False])
    def test_infer(self, client: Any, models: Few, binary: bool) -> None:
        result = client.infer("m", self.inputs(binary), request_id="42")
        assert result.as_numpy("predictions").tolist() == [2.0, 7.0]
        assert result.as_numpy("ids").tolist() == models.kept[0].ids
        assert (result.get_response()["id"], result.get_response()["model_version"]) == ("42", "3")
        columns = models.kept[0].decoded.columns
        assert columns["carrier"] == ["AA", "UÄ"]
        assert columns["dep delay"] == [1.5, None if binary else 0.5]

    def test_outputs_that_are_asked_for(self, client: Any) -> None:
        from tritonclient.http import InferRequestedOutput

        outputs = [InferRequestedOutput("predictions", binary_data=False)]
        result = client.infer("m", self.inputs(True), model_version="3", outputs=outputs)
        assert result.as_numpy("predictions").tolist() == [2.0, 7.0]
        assert result.as_numpy("ids") is None

    def test_classes(self, client: Any) -> None:
        from tritonclient.http import InferInput

        matrix = InferInput("features", [2, 2], "FP32")
        matrix.set_data_from_numpy(np.array([[1, 2], [3, 4]], dtype=np.float32))
        result = client.infer("numbers", [matrix])
        assert result.as_numpy("predictions").tolist() == ["yes", "yes"]
        assert result.as_numpy("probabilities").tolist() == [2 / 3, 2 / 3]
        word = InferInput("word", [1, 1], "BYTES")
        word.set_data_from_numpy(np.array([["x"]], dtype=object))
        assert client.infer("letters", [word]).as_numpy("probabilities").tolist() == [[0.25, 0.5, 0.25]]

    def test_metadata_and_health(self, client: Any, models: Few) -> None:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("m")
        assert client.is_model_ready("m", "3")
        assert not client.is_model_ready("m", "4")
        assert client.get_server_metadata()["name"] == "slipstream"
        about = client.get_model_metadata("m")
        assert about["inputs"][0] == {"name": "dep delay", "datatype": "FP64", "shape": [-1]}
        models.is_ready = False
        assert not client.is_server_ready()

    def test_a_refusal_can_be_read(self, client: Any) -> None:
        from tritonclient.utils import InferenceServerException

        with pytest.raises(InferenceServerException) as caught:
            client.infer("m", self.inputs(True)[:3])
        assert str(caught.value) == "[400] inputs.night: this field is missing"


class TestSageMaker:
    """boto3's client of SageMaker's runtime."""

    @pytest.fixture
    def client(self, url: str) -> Iterator[Any]:
        client = boto3.client(
            "sagemaker-runtime",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}),
        )
        yield client
        client.close()

    def test_json(self, client: Any, models: Few) -> None:
        reply = client.invoke_endpoint(
            EndpointName="m", ContentType="application/json", Body=json.dumps({"instances": ROWS})
        )
        said = json.loads(reply["Body"].read())
        assert (said["predictions"], said["ids"]) == ([2.0, 7.0], models.kept[0].ids)
        assert reply["ContentType"] == "application/json"

    def test_csv(self, client: Any) -> None:
        reply = client.invoke_endpoint(
            EndpointName="m", ContentType="text/csv", Accept="text/csv", Body=b"1.5,2,AA,false\n,7,UA,true\n"
        )
        assert reply["Body"].read() == b"2.0\n7.0\n"
        reply = client.invoke_endpoint(EndpointName="numbers", ContentType="text/csv", Accept="text/csv", Body=b"1,2")
        assert float(reply["Body"].read()) == 2 / 3

    def test_a_refusal_can_be_read(self, client: Any) -> None:
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            client.invoke_endpoint(EndpointName="m", ContentType="text/csv", Body=b"1.5,x,AA,false\n")
        error = caught.value.response["Error"]
        assert (error["Code"], error["Message"]) == ("type", "line 1.seats: 'x' is not a whole number")

    def test_what_the_platform_asks_a_container(self, url: str) -> None:
        assert httpx.get(f"{url}/ping").status_code == 200
        headers = {"content-type": "text/csv", "x-amzn-sagemaker-target-model": "numbers.tar.gz"}
        assert httpx.post(f"{url}/invocations", content=b"1,2", headers=headers).json()["model"] == "numbers"


MLFLOW = """
import json, sys
import pandas as pd
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

host, port = sys.argv[1:]
frame = pd.DataFrame(json.load(sys.stdin)).astype({"dep delay": "float64"})
client = ScoringServerClient(host, port)
client.wait_server_ready(timeout=10)
said = client.invoke(frame)
by_model = ScoringServerClient(host, f"{port}/models/m").invoke(frame.iloc[:1])
refused = ""
try:
    client.invoke(frame.rename(columns={"seats": "seets"}))
except Exception as error:
    refused = str(error)
print(json.dumps({
    "predictions": said.get_predictions()[0].tolist(),
    "array": said.get_predictions("ndarray").tolist(),
    "ids": said["ids"],
    "one": by_model["predictions"],
    "refused": refused,
    "version": client.get_version(),
    "csv": frame.to_csv(index=False),
    "records": json.dumps({"dataframe_records": json.loads(frame.to_json(orient="records"))}),
}))
"""


@pytest.mark.skipif(not PEERS.exists(), reason="MLflow lives in an environment of its own: .ci/install peers")
def test_mlflow(url: str, models: Few) -> None:
    """MLflow's own client and encoder, which cannot be installed beside Airflow."""
    host, _, port = url.removeprefix("http://").partition(":")
    command = [str(PEERS), "-W", "ignore", "-c", MLFLOW, host, port]
    done = subprocess.run(command, input=json.dumps(ROWS), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    assert said["predictions"] == said["array"] == [2.0, 7.0]
    assert said["ids"] == models.kept[0].ids
    assert said["one"] == [2.0]
    assert models.kept[0].decoded.columns == {name: [row[name] for row in ROWS] for name in ROWS[0]}
    assert "error code 400" in said["refused"]
    assert "did you mean 'seats'" in said["refused"]
    for kind, body in (("text/csv", said["csv"]), ("application/json", said["records"])):
        reply = httpx.post(f"{url}/invocations", content=body, headers={"content-type": kind})
        assert reply.json()["predictions"] == [2.0, 7.0]


class TestByShape:
    """Clients that are too heavy to install, or cannot be: the requests that their documentation shows."""

    def test_vertex(self, url: str) -> None:
        assert httpx.get(url + HEALTH).status_code == 200
        reply = httpx.post(url + PREDICT, json={"instances": ROWS, "parameters": {}})
        assert reply.json()["predictions"] == [2.0, 7.0]

    def test_kserve_v1(self, url: str) -> None:
        assert httpx.get(f"{url}/v1/models/m").json() == {"name": "m", "ready": True}
        reply = httpx.post(f"{url}/v1/models/m:predict", json={"instances": [list(row.values()) for row in ROWS]})
        assert reply.json()["predictions"] == [2.0, 7.0]
