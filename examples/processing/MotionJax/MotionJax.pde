// Processing 4: sends a picture to motion-jax serve, and shows the person that comes back.
// Put a picture of a person into the sketch's folder as data/person.jpg, and click to send it again.
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.util.Base64;

final String SERVER = "http://127.0.0.1:8000";
final HttpClient client = HttpClient.newHttpClient();
PImage source, person;
String said = "";

void setup() {
  size(800, 400);
  source = loadImage("person.jpg");
  thread("ask");  // The window goes on meanwhile.
}

void draw() {
  background(32);
  image(source, 0, 0, width / 2, height);
  if (person != null) image(person, width / 2, 0, width / 2, height);
  text(said, 10, height - 10);
}

void mousePressed() {
  thread("ask");
}

void ask() {
  try {
    String picture = Base64.getEncoder().encodeToString(loadBytes("person.jpg"));
    HttpRequest request = HttpRequest.newBuilder(URI.create(SERVER + "/query"))
      .header("Content-Type", "application/json")
      .POST(HttpRequest.BodyPublishers.ofString("{\"image\":\"data:image/jpeg;base64," + picture + "\"}"))
      .build();
    JSONObject answer = parseJSONObject(
      client.send(request, HttpResponse.BodyHandlers.ofString()).body());
    if (answer.hasKey("error")) {
      said = answer.getString("error");
      return;
    }
    String data = answer.getString("image");
    byte[] bytes = Base64.getDecoder().decode(data.substring(data.indexOf(',') + 1));
    java.io.File file = java.io.File.createTempFile("motion-jax", ".jpg");
    Files.write(file.toPath(), bytes);
    person = loadImage(file.getAbsolutePath());
    said = "";
  }
  catch (java.net.ConnectException error) {
    said = "Nobody answers at " + SERVER + ": is motion-jax serve running?";
  }
  catch (Exception error) {
    said = error.toString();
  }
}
